"""Virtual hosts and their routes."""

from __future__ import annotations

from collections.abc import Sequence

from splicer.importer.draft import RouteDraft, free_name
from splicer.importer.envoy.answers import direct_response, redirect
from splicer.importer.envoy.clusters import lead_to
from splicer.importer.envoy.context import Context, leaf
from splicer.importer.envoy.guards import GUARDS
from splicer.importer.envoy.headers import ANSWER, edits, value_of
from splicer.importer.envoy.matches import pattern
from splicer.importer.ledger import Verdict
from splicer.importer.matching import numbered_groups
from splicer.importer.paths import replace_prefix
from splicer.importer.retrying import retries
from splicer.importer.times import duration, seconds_of
from splicer.importer.yaml_source import Node, mark_rest

TIMEOUT = 15.0  # Envoy's default, seconds
_LONG = 600.0  # a timeout of this or more is meant for calls
_NOT_FOR_CALLS = (
    "Envoy's timeout does not run after the 101, so it does nothing for calls: a silent call ends by deadlines.idle. "
    "A pod has 15s for the head of its answer"
)
_LOST = {
    "rate_limits": "write rate_limit on the route",
    "cors": "splicer does no CORS: have the pod send the fields, or response_headers",
    "request_mirror_policies": "requests are not copied",
    "max_grpc_timeout": "gRPC needs another proxy",
    "max_stream_duration": "write deadlines.lifetime and deadlines.response on the route",
    "internal_redirect_policy": "a pod's redirect is the client's",
    "hedge_policy": "a request is sent to one pod at a time",
    "metadata_match": "give each subset a Service, and an upstream of its own",
    "cluster_header": "the file chooses among upstreams: write a route for each value, with headers",
    "host_rewrite_path_regex": "write host with captures of the route's regex",
    "host_rewrite_header": "no header field may choose the host; write host",
    "early_data_policy": "there is no counterpart",
    "retry_back_off": "there is no counterpart",
}


def virtual_hosts(context: Context, config: Node, hcm: Node) -> None:
    """The routes of a route table.

    Args:
        context: gets them.
        config: a `RouteConfiguration`.
        hcm: the connection manager around it.
    """
    hosts = sorted(config.get("virtual_hosts").each(), key=_rank)
    for number, host in enumerate(hosts):
        domains = [_domain(context, domain) for domain in host.get("domains").each()]
        names = list(dict.fromkeys(name for name in domains if name))
        is_any = "" in domains
        sources = leaf(host.get("domains"))
        made = []
        for node in host.get("routes").each():
            route = _route(context, host, node, len(hosts) > 1)
            if not is_any:
                route.put("hosts", [*dict.fromkeys([*(route.get("hosts") or []), *names])], *sources)
            made.append(_action(context, route, node, (node, host, config), hcm))
        if is_any:
            for source in sources:
                context.ledger.mark(source, Verdict.DEFAULT, "a route without hosts is for all")
        elif number < len(hosts) - 1 and not any(
            route.get("prefix") == "/" and len(route.values) < 9 for route in made
        ):
            made.append(_missing(context, host, names))
        context.draft.routes += made


def _rank(host: Node) -> tuple[int, int]:
    """Exact names come first, then the longest suffix, then "*" (Envoy searches in this order)."""
    domains = [domain.text for domain in host.get("domains").each()]
    wild = [domain for domain in domains if "*" in domain]
    return (2 if "*" in domains else 1 if wild else 0), -max((len(domain) for domain in wild), default=0)


def _domain(context: Context, node: Node) -> str | None:
    text = node.text.partition(":")[0] if not node.text.startswith("[") else node.text
    if text == "*":
        return ""
    if (text.startswith("*") and not text.startswith("*.")) or text.endswith("*"):
        context.lost(node, "write hosts, with *.suffix for all names below one")
        return None
    return text


def _missing(context: Context, host: Node, names: list[str]) -> RouteDraft:
    route = RouteDraft(
        name=free_name(f"{host.get('name').text}-none", context.names), origin=f"{host.file}:{host.line}"
    )
    context.names.add(route.name)
    route.comments.append("Envoy looks at no other virtual host")
    route.put("prefix", "/")
    route.put("hosts", names)
    route.put(("respond", "status"), 404)
    return route


def _route(context: Context, host: Node, node: Node, several: bool) -> RouteDraft:
    match = node.get("match")
    wish = node.get("name").text or next(
        (match.get(key).text for key in ("path", "prefix", "path_separated_prefix") if match.get(key).text), ""
    )
    wish = wish or match.get("safe_regex", "regex").text
    name = free_name(f"{host.get('name').text}-{wish}" if several else "all" if wish == "/" else wish, context.names)
    context.names.add(name)
    route = RouteDraft(name=name, origin=f"{node.file}:{node.line}")
    pattern(context, route, match)
    return route


def _action(context: Context, route: RouteDraft, node: Node, levels: Sequence[Node], hcm: Node) -> RouteDraft:
    if node.get("direct_response").is_there:
        direct_response(context, route, node.get("direct_response"))
        edits(context, route, levels, ANSWER)
    elif node.get("redirect").is_there:
        redirect(context, route, node.get("redirect"))
        edits(context, route, levels, ANSWER)
    elif node.get("route").is_there:
        edits(context, route, levels)
        _forward(context, route, node.get("route"), hcm)
    else:
        route.closed.append("it has no action that could be imported")
    for key in ("tracing", "decorator", "metadata"):
        context.lost(node.get(key), "there is no counterpart on a route")
    for level in levels:
        for name, each in level.get("typed_per_filter_config").items():
            context.lost(each, "there is no counterpart on a route")
            if any(guard in name for guard in GUARDS):
                route.closed.append(f"its {name} could not be imported")
    return route


def _forward(context: Context, route: RouteDraft, action: Node, hcm: Node) -> None:
    for key, why in _LOST.items():
        context.lost(action.get(key), why)
        if key == "cluster_header" and action.get(key).is_there:
            route.closed.append("a header chooses its cluster")
    if action.get("cluster").is_there:
        lead_to(context, route, action.get("cluster"))
    for share in action.get("weighted_clusters", "clusters").each():
        weight = share.get("weight").number() or 0
        lead_to(context, route, share.get("name"), weight)
        mark_rest(context.ledger, share.get("weight"), Verdict.CARRIED)
        for path in [path for path in route.values if path[0] == "upstream"]:
            route.sources[path] += [each for each in leaf(share.get("weight")) if each not in route.sources[path]]
    mark_rest(context.ledger, action.get("weighted_clusters", "total_weight"), Verdict.NO_NEED, "weights are shares")
    _hash(context, route, action)
    _path(context, route, action)
    _host(context, route, action)
    _upgrade(context, route, action, hcm)
    _timeouts(context, route, action)
    _retries(context, route, action.get("retry_policy"))


def _path(context: Context, route: RouteDraft, action: Node) -> None:
    prefix = action.get("prefix_rewrite")
    if prefix.is_there and prefix.text:
        replace_prefix(route, prefix.text, *leaf(prefix))
    rewrite = action.get("regex_rewrite")
    if not rewrite.is_there:
        return
    regex = rewrite.get("pattern", "regex").text
    found = numbered_groups(regex, rewrite.get("substitution").text)
    takes_all = regex.startswith("^") and (regex.endswith(("$", ".*)", ".*")))
    if found is None or not takes_all:
        context.lost(rewrite, "write a regex with named groups for the whole path, and a rewrite with them")
        route.closed.append("its regex_rewrite could not be imported")
        return
    sources = [source for key in ("path", "prefix", "regex") for source in route.drop((key,))]
    route.put("regex", found[0], *sources)
    route.put("rewrite", found[1], *leaf(rewrite))
    context.differs(rewrite, "a path that the expression does not match goes to a later route")


def _host(context: Context, route: RouteDraft, action: Node) -> None:
    for key in ("host_rewrite_literal", "host_rewrite"):
        if action.get(key).text:
            route.put("host", value_of(action.get(key).text) or action.get(key).text, *leaf(action.get(key)))
    auto = action.get("auto_host_rewrite")
    if auto.is_true:
        upstream = context.draft.upstreams.get(str(route.get("upstream")))
        if upstream is None:
            context.lost(auto, "write host on a route for each upstream")
        else:
            route.put("host", str(upstream.get("address")).rpartition(":")[0], *leaf(auto))


def _upgrade(context: Context, route: RouteDraft, action: Node, hcm: Node) -> None:
    own = {each.get("upgrade_type").text.lower(): each for each in action.get("upgrade_configs").each()}
    all_ = {each.get("upgrade_type").text.lower(): each for each in hcm.get("upgrade_configs").each()}
    kinds = [
        kind for kind, each in {**all_, **own}.items() if each.get("enabled").value is not False and kind != "connect"
    ]
    sources = [source for each in (*own.values(), *all_.values()) for source in leaf(each)]
    if kinds:
        route.put("upgrade", kinds, *sources)
    else:
        for source in sources:
            context.ledger.mark(source, Verdict.DEFAULT, "nothing is upgraded without upgrade")


def _timeouts(context: Context, route: RouteDraft, action: Node) -> None:
    timeout = action.get("timeout")
    seconds = seconds_of(timeout.text)
    if seconds is not None:
        answer = seconds
        if route.get("upgrade") is not None and (seconds == 0 or seconds >= _LONG):
            context.differs(timeout, _NOT_FOR_CALLS)
            answer = TIMEOUT
        route.put(("deadlines", "response"), duration(seconds), *leaf(timeout))
        route.put(("deadlines", "handshake"), duration(answer), *leaf(timeout))
        route.put(("deadlines", "attempts"), duration(answer), *leaf(timeout))
    idle = action.get("idle_timeout")
    if (seconds := seconds_of(idle.text)) is not None:
        for key in ("idle", "response_idle", "body_idle"):
            route.put(("deadlines", key), duration(seconds), *leaf(idle))


def _retries(context: Context, route: RouteDraft, policy: Node) -> None:
    if not policy.is_there:
        return
    number, on = policy.get("num_retries"), policy.get("retry_on")
    count = number.number()
    retries(context.ledger, route, on, 1 if count is None else count, [on, number])
    per_try = policy.get("per_try_timeout")
    if (seconds := seconds_of(per_try.text)) is not None:
        route.put(("deadlines", "handshake"), duration(seconds), *leaf(per_try))
    context.ledger.hold(route.all_sources())
    mark_rest(context.ledger, policy, Verdict.LOST, "there is no counterpart; see retries in docs/configuration.md")


def _hash(context: Context, route: RouteDraft, action: Node) -> None:
    policies = action.get("hash_policy").each()
    if not policies:
        return
    first = policies[0]
    header, cookie = first.get("header", "header_name").text, first.get("cookie", "name").text
    query = first.get("query_parameter", "name").text
    where = f"header:{header}" if header else f"cookie:{cookie}" if cookie else f"query:{query}" if query else "client"
    several = any(path[0] == "upstream" and len(path) > 1 for path in route.values)
    if several:
        route.put("hash_on", where, *leaf(first))
    for policy in policies[1:] if several else policies:
        context.lost(policy, "hash_on chooses among several upstreams, by one part of the request")
