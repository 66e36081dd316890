"""Destinations: hosts and ports as upstreams, and what DestinationRules say of them."""

from __future__ import annotations

from collections.abc import Sequence

from splicer.importer.draft import Draft, Named, RouteDraft, upstreams_of
from splicer.importer.ejection import outlier_detection
from splicer.importer.istio.context import Context, leaf
from splicer.importer.istio.resources import Resource
from splicer.importer.ledger import Verdict
from splicer.importer.times import duration, seconds_of
from splicer.importer.upstreams import upstream_at
from splicer.importer.yaml_source import Node, mark_rest

_BALANCE = {
    "ROUND_ROBIN": "round-robin",
    "LEAST_REQUEST": "least-tunnels",
    "LEAST_CONN": "least-tunnels",
    "RANDOM": "random",
    "UNSPECIFIED": "least-tunnels",
}
_SUBSET = "splicer chooses by name: all pods of the host get these requests. Give the subset a Service of its own"
_POLICY_LOST = {
    "portLevelSettings": "an upstream has one port: write its keys there",
    "tunnel": "there is no counterpart",
    "retryBudget": "there is no counterpart",
}
_EACH = "the limit is of each endpoint, not of the host; calls and plain requests are counted apart"
_LIMITS = {"maxConnections": "max_tunnels", "http2MaxRequests": "max_requests"}
_POOL_LOST = {
    "http1MaxPendingRequests": "limits.connections bounds the edge; max_tunnels a route",
}
_POOL_NO_NEED = {
    "maxRequestsPerConnection": "connections to pods are kept until they are idle",
    "maxRetries": "retries are bounded by the route's own",
    "idleTimeout": "connections to pods are kept for a while",
    "useClientProtocol": "pods are spoken to in HTTP/1.1",
    "tcpKeepalive": "splicer sets its sockets itself",
    "maxConnectionDuration": "connections to pods are kept for a while",
    "maxConcurrentStreams": "pods are spoken to in HTTP/1.1",
}
_MESH_TLS = (
    "it is TLS of the mesh: write tls of the upstream with ca, certificate and the pods' SPIFFE id in names, such as "
    "spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT"
)
_SIDECAR = "/etc/istio-output-certs/"
_OUTPUT_CERTS = "have a sidecar write its certificates to /etc/istio-output-certs (OUTPUT_CERTS), which the edge reads"


def lead_to(
    context: Context, route: RouteDraft, host: Node, port: Node, namespace: str, weight: int | None = None
) -> None:
    """Have a route lead to a host.

    Args:
        context: gets the upstream.
        route: gets `upstream`.
        host: the node with its name.
        port: the node with its port.
        namespace: of the resource.
        weight: among several; None: it is the only one.
    """
    name = context.whole_name(host.text, namespace)
    number = port.number() or next(iter(context.services.get(name, [])), None)
    if number is None:
        number = 80
        context.differs(host, "no port is named, and no Service is among the files: it is 80")
    upstream = upstream_at(context.draft, host.text.partition(".")[0], name, number, *leaf(host), *leaf(port))
    path = ("upstream",) if weight is None else ("upstream", upstream.name)
    if weight is None:
        route.put(path, upstream.name, *leaf(host), *leaf(port))
    else:
        before = route.values.get(path, 0)
        route.put(path, before + weight, *route.sources.get(path, ()), *leaf(host), *leaf(port))


def subset(context: Context, destination: Node) -> None:
    """A destination's `subset`."""
    context.lost(destination.get("subset"), _SUBSET)


def destination_rules(context: Context, rules: Sequence[Resource]) -> None:
    """What DestinationRules say, on the routes that lead to their hosts.

    Args:
        context: whose draft has all routes.
        rules: the resources.
    """
    for rule in rules:
        host = rule.spec.get("host")
        name = context.whole_name(host.text, rule.namespace)
        upstreams = [key for key, each in context.draft.upstreams.items() if _fits(name, str(each.get("address")))]
        if not upstreams:
            context.give(rule.spec, Verdict.NO_NEED, "no imported route leads to this host")
            continue
        context.give(host, Verdict.CARRIED, f"for the routes that lead to upstream {', '.join(upstreams)}")
        context.lost(rule.spec.get("subsets"), _SUBSET)
        context.give(rule.spec.get("exportTo"), Verdict.NO_NEED, "whoever reads the file sees it")
        context.lost(rule.spec.get("workloadSelector"), "the edge is one workload")
        _policy(context, rule.spec.get("trafficPolicy"), upstreams)


def _fits(pattern: str, address: str) -> bool:
    host = address.rpartition(":")[0]
    return host.endswith(pattern[1:]) if pattern.startswith("*") else host == pattern


def _policy(context: Context, policy: Node, upstreams: Sequence[str]) -> None:
    routes = [route for route in context.draft.routes if set(upstreams) & set(upstreams_of(route))]
    pool = policy.get("connectionPool")
    timeout = pool.get("tcp", "connectTimeout")
    if (seconds := seconds_of(timeout.text)) is not None:
        for route in routes:
            route.put(("deadlines", "connect"), duration(seconds), *leaf(timeout))
    for key, item in (*pool.get("tcp").items(), *pool.get("http").items()):
        if key in _LIMITS and (number := item.number()):
            for name in upstreams:
                context.draft.upstreams[name].put(_LIMITS[key], min(number, 1_000_000), *leaf(item))
            context.differs(item, _EACH)
        elif key in _POOL_LOST:
            context.lost(item, _POOL_LOST[key])
        elif key in _POOL_NO_NEED:
            mark_rest(context.ledger, item, Verdict.NO_NEED, _POOL_NO_NEED[key])
        elif key == "h2UpgradePolicy":
            if item.text == "UPGRADE":
                context.lost(item, "pods are spoken to in HTTP/1.1")
            else:
                context.give(item, Verdict.DEFAULT, "pods are spoken to in HTTP/1.1")
    tables = [context.draft.upstreams[name] for name in upstreams]
    outlier_detection(context.ledger, tables, policy.get("outlierDetection"))
    _balance(context, policy.get("loadBalancer"), upstreams)
    for key, why in _POLICY_LOST.items():
        context.lost(policy.get(key), why)
    _tls(context, policy.get("tls"), routes, tables)
    version = policy.get("proxyProtocol", "version")
    if policy.get("proxyProtocol").is_there:
        for name in upstreams:
            context.draft.upstreams[name].put("proxy_protocol", (version.text or "V1").lower(), *leaf(version))
        mark_rest(context.ledger, policy.get("proxyProtocol"), Verdict.CARRIED, "in proxy_protocol of the upstream")


def _balance(context: Context, balancer: Node, upstreams: Sequence[str]) -> None:
    simple = balancer.get("simple")
    balance = _BALANCE.get(simple.text)
    if balance is not None:
        for name in upstreams:
            context.draft.upstreams[name].put("balance", balance, *leaf(simple))
    else:
        context.lost(simple, "an upstream's endpoints are chosen by least-tunnels, round-robin or random")
    context.lost(balancer.get("consistentHash"), "hash_on chooses among several upstreams, by a part of the request")
    context.lost(balancer.get("localityLbSetting"), "there is no counterpart")
    for key in ("warmup", "warmupDurationSecs"):
        context.lost(balancer.get(key), 'write slow_start beside discovery = "kubernetes" on the upstream')


def _tls(context: Context, tls: Node, routes: Sequence[RouteDraft], upstreams: Sequence[Named]) -> None:
    mode = tls.get("mode").text.upper()
    names = tls.get("subjectAltNames").each()
    if not tls.is_there:
        return
    if mode == "DISABLE":
        context.give(tls, Verdict.DEFAULT, "pods are spoken to in plain HTTP")
        return
    if mode not in ("SIMPLE", "MUTUAL", "ISTIO_MUTUAL") or (mode == "ISTIO_MUTUAL" and not names):
        context.lost(tls, _MESH_TLS)
        for route in routes:
            route.closed.append("its pods want TLS of the mesh")
        return
    for upstream in upstreams:
        _secure(upstream, tls, mode)
        context.ledger.hold(upstream.all_sources())
    if mode == "ISTIO_MUTUAL":
        context.differs(tls.get("mode"), _OUTPUT_CERTS)
    elif (secret := tls.get("credentialName")).text:
        context.differs(secret, f"mount Secret {secret.text} at /certs/{secret.text}, with ca.crt")
    mark_rest(context.ledger, tls.get("mode"), Verdict.CARRIED, "in tls of the upstream")
    mark_rest(context.ledger, tls, Verdict.LOST, "there is no counterpart; see tls of an upstream")


def _secure(upstream: Named, tls: Node, mode: str) -> None:
    folder, authorities = f"/certs/{tls.get('credentialName').text}", tls.get("caCertificates")
    secret = leaf(tls.get("credentialName"))
    ca = authorities.text or (f"{folder}/ca.crt" if secret else "system")
    pair = {"chain": tls.get("clientCertificate").text, "key": tls.get("privateKey").text}
    sources = [*leaf(tls.get("clientCertificate")), *leaf(tls.get("privateKey"))]
    if mode == "ISTIO_MUTUAL":
        ca, pair = f"{_SIDECAR}root-cert.pem", {"chain": f"{_SIDECAR}cert-chain.pem", "key": f"{_SIDECAR}key.pem"}
    upstream.put(("tls", "ca"), ca, *leaf(authorities), *secret)
    if mode != "SIMPLE":
        upstream.put(("tls", "certificate"), folder if secret else pair, *secret, *sources)
    names = [name.text for name in tls.get("subjectAltNames").each()]
    if names:
        upstream.put(("tls", "names"), names, *leaf(tls.get("subjectAltNames")))
    if tls.get("sni").text:
        upstream.put(("tls", "sni"), tls.get("sni").text, *leaf(tls.get("sni")))


def service_entries(context: Context, entries: Sequence[Resource], draft: Draft) -> None:
    """ServiceEntries and Services: names, ports, and fixed addresses.

    Args:
        context: learns the ports.
        entries: the resources.
        draft: gets `resolver.hosts`.
    """
    for entry in entries:
        spec = entry.spec
        ports = [
            port.get("number" if entry.kind == "ServiceEntry" else "port").number() for port in spec.get("ports").each()
        ]
        hosts = [context.whole_name(host.text, entry.namespace) for host in spec.get("hosts").each()]
        if entry.kind == "Service":
            hosts = [context.whole_name(entry.name, entry.namespace)]
        for host in hosts:
            context.services[host] = [port for port in ports if port is not None]
        fixed = [each.get("address") for each in spec.get("endpoints").each()]
        if entry.kind == "ServiceEntry" and spec.get("resolution").text == "STATIC" and fixed:
            for host in hosts:
                sources = [source for each in fixed for source in leaf(each)]
                draft.sections["resolver"].put(("hosts", host), [each.text for each in fixed], *sources)
        draft_sources = {id(each) for each in draft.sections["resolver"].all_sources()}
        for each in spec.leaves():
            if id(each) not in draft_sources:
                context.ledger.mark(each, Verdict.NO_NEED, "splicer dials names by DNS; they need no declaration")
