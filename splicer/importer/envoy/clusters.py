"""Clusters as upstreams."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from splicer.config.addresses import is_ip
from splicer.config.scalars import suggest
from splicer.importer.draft import Named, RouteDraft
from splicer.importer.ejection import health_check, outlier_detection
from splicer.importer.envoy import tls
from splicer.importer.envoy.context import Context, leaf
from splicer.importer.ledger import Verdict
from splicer.importer.times import duration, seconds_of
from splicer.importer.upstreams import is_short, new_upstream
from splicer.importer.yaml_source import Node, mark_rest
from splicer.model import authority

CONNECT = 5.0  # Envoy's default, seconds
_BALANCE = {"ROUND_ROBIN": "round-robin", "LEAST_REQUEST": "least-tunnels", "RANDOM": "random"}
_KINDS = {
    "STRICT_DNS": "names are resolved by DNS",
    "LOGICAL_DNS": "names are resolved by DNS",
    "STATIC": "addresses are used as they are",
    "": "",
}
_EACH = "the limit is of each endpoint, not of the cluster; calls and plain requests are counted apart"
_LOST = {
    "circuit_breakers": "write max_tunnels and max_requests on the upstream",
    "typed_extension_protocol_options": "pods are spoken to in HTTP/1.1",
    "http2_protocol_options": "pods are spoken to in HTTP/1.1; gRPC needs another proxy",
    "load_assignment_policy": "there is no counterpart",
    "lb_subset_config": "give each subset a Service, and an upstream of its own",
    "upstream_connection_options": "splicer sets its sockets itself",
}
_NOT_CARRIED = "a certificate is a file: write tls of the upstream, with ca and names"


@frozen
class _Place:
    node: Node
    host: str
    port: int
    weight: int


def lead_to(context: Context, route: RouteDraft, name: Node, weight: int | None = None) -> None:
    """Have a route lead to a cluster.

    Args:
        context: gets the upstream.
        route: gets `upstream`.
        name: the node that has the cluster's name.
        weight: in a weighted choice; None: it is the only one.

    Raises:
        ImportFault: there is no such cluster.
    """
    cluster = context.clusters.get(name.text)
    if cluster is None:
        raise name.fault(f"there is no cluster {name.text!r}{suggest(name.text, context.clusters)}")
    shares = list(_shares(context, cluster))
    if not shares:
        route.closed.append(f"the cluster {name.text} could not be imported")
        context.ledger.lost(leaf(name)[0], "its cluster could not be imported")
        return
    whole = sum(share for _, share in shares)
    for upstream, share in shares:
        if weight is None and len(shares) == 1:
            route.put("upstream", upstream, *leaf(name))
        elif weight is not None and len(shares) == 1:
            route.put(("upstream", upstream), weight, *leaf(name))
        else:
            route.put(("upstream", upstream), share if weight is None else weight * share // whole, *leaf(name))
    _connect(context, route, cluster)


def _connect(context: Context, route: RouteDraft, cluster: Node) -> None:
    timeout = cluster.get("connect_timeout")
    seconds = seconds_of(timeout.text)
    if seconds is not None and seconds != CONNECT:
        route.put(("deadlines", "connect"), duration(seconds), *leaf(timeout))
    elif seconds is not None:
        section = context.draft.sections["deadlines"]
        section.put("connect", duration(seconds), *leaf(timeout), *section.sources.get(("connect",), ()))


def _shares(context: Context, cluster: Node) -> Iterator[tuple[str, int]]:
    """The upstreams of a cluster, each with its share; they are made when they are first asked for."""
    kind = cluster.get("type")
    if kind.text.upper() not in _KINDS or cluster.get("cluster_type").is_there:
        context.lost(cluster, "its endpoints come from elsewhere (xDS, or the request): write an upstream with a name")
        return
    secured = Named()
    socket = cluster.get("transport_socket")
    if socket.is_there and not tls.upstream(context, secured, socket):
        context.lost(socket, _NOT_CARRIED)
        return
    places = list(_places(context, cluster))
    one_port = len({place.port for place in places}) == 1 and all(place.weight == 1 for place in places)
    if len(places) > 1 and one_port and all(is_ip(place.host) for place in places):
        host = f"{cluster.get('name').text.replace('_', '-').lower()}.cluster"
        sources = [source for place in places for source in leaf(place.node)]
        context.draft.sections["resolver"].put(("hosts", host), [place.host for place in places], *sources)
        one = _Place(places[0].node, host, places[0].port, 1)
        yield _upstream(context, cluster, one, "", secured), 1
        return
    for number, place in enumerate(places, 1):
        yield _upstream(context, cluster, place, f"-{number}" if len(places) > 1 else "", secured), place.weight


def _upstream(context: Context, cluster: Node, place: _Place, suffix: str, secured: Named) -> str:
    origin = f"{place.node.file}:{cluster.get('name').line}{suffix}"
    for known in context.draft.upstreams.values():
        if known.origin == origin:
            return known.name
    upstream = new_upstream(
        context.draft, f"{cluster.get('name').text}{suffix}", authority(place.host, place.port), *leaf(place.node)
    )
    upstream.origin = origin
    for path, value in secured.values.items():
        upstream.put(path, value, *secured.sources[path])
    _settings(context, cluster, upstream.name)
    return upstream.name


def _places(context: Context, cluster: Node) -> Iterator[_Place]:
    assignment = cluster.get("load_assignment")
    groups = assignment.get("endpoints").each()
    for group in groups[1:]:
        if group.get("priority").number():
            context.lost(group, "endpoints for a failover: write them as an upstream, and name it as fallback")
            groups = [each for each in groups if each is not group]
    for endpoint in (each for group in groups for each in group.get("lb_endpoints").each()):
        address = endpoint.get("endpoint", "address")
        socket = address.get("socket_address")
        port = socket.get("port_value").number()
        if not socket.get("address").text or port is None:
            context.lost(endpoint, "a pod is reached by TCP, by a name or an address and a port")
            continue
        weight = endpoint.get("load_balancing_weight")
        yield _Place(socket, _host(context, socket.get("address")), port, weight.number() or 1)
        mark_rest(context.ledger, weight, Verdict.CARRIED)


def _host(context: Context, node: Node) -> str:
    if node.text == "localhost":
        return "127.0.0.1"
    if is_short(node.text):
        context.differs(node, f"splicer has no search list: write the whole name of {node.text}")
    return node.text


def _settings(context: Context, cluster: Node, name: str) -> None:
    upstream = context.draft.upstreams[name]
    kind = cluster.get("type")
    if kind.is_there:
        context.default(kind, _KINDS[kind.text.upper()])
    policy = cluster.get("lb_policy")
    balance = _BALANCE.get(policy.text.upper() or "ROUND_ROBIN")
    if balance is not None:
        upstream.put("balance", balance, *leaf(policy))
        if balance == "least-tunnels":
            for each in leaf(policy):
                context.ledger.differs(each, "open calls are counted, not requests")
    else:
        context.lost(policy, "an upstream's endpoints are chosen by least-tunnels, round-robin or random")
    refresh = cluster.get("dns_refresh_rate")
    if (seconds := seconds_of(refresh.text)) is not None:
        context.draft.sections["resolver"].put("max_ttl", duration(seconds), *leaf(refresh))
    _breakers(context, cluster.get("circuit_breakers"), upstream)
    outlier_detection(context.ledger, [upstream], cluster.get("outlier_detection"))
    health_check(context.ledger, upstream, cluster.get("health_checks"))
    for key, why in _LOST.items():
        for each in leaf(cluster.get(key)):
            if not context.ledger.is_marked(each):
                context.ledger.lost(each, why)


def _breakers(context: Context, breakers: Node, upstream: Named) -> None:
    """Limits of a cluster: here they are of each endpoint."""
    for thresholds in breakers.get("thresholds").each():
        for name, key in (("max_connections", "max_tunnels"), ("max_requests", "max_requests")):
            node = thresholds.get(name)
            number = node.number()
            if number and thresholds.get("priority").text in ("", "DEFAULT") and upstream.get(key) is None:
                upstream.put(key, min(number, 1_000_000), *leaf(node))
                context.differs(node, _EACH)


def resolver(context: Context) -> None:
    """Set `resolver.ipv6`: off if no cluster wants IPv6."""
    families = [cluster.get("dns_lookup_family") for cluster in context.clusters.values()]
    named = [family for family in families if family.is_there]
    if named and all(family.text.upper() == "V4_ONLY" for family in named) and len(named) == len(families):
        context.draft.sections["resolver"].put("ipv6", False, *[each for family in named for each in leaf(family)])
