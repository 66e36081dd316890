"""VirtualServices as routes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from splicer.importer.draft import RouteDraft
from splicer.importer.istio.context import Context, leaf
from splicer.importer.istio.destinations import lead_to, subset
from splicer.importer.istio.headers import edits
from splicer.importer.istio.matches import pattern
from splicer.importer.istio.resources import Resource
from splicer.importer.ledger import Verdict
from splicer.importer.matching import numbered_groups
from splicer.importer.passing import pass_through
from splicer.importer.paths import escaped, replace_prefix, rest_of
from splicer.importer.retrying import retries
from splicer.importer.times import duration, seconds_of
from splicer.importer.yaml_source import Node, mark_rest

HANDSHAKE = 60.0  # seconds: Istio has no deadline of its own
_LONG = 600.0  # a timeout of this or more is meant for calls
_NOT_FOR_CALLS = (
    "a timeout does not run after the 101, so it does nothing for calls: a silent call ends by deadlines.idle, 1h. A "
    "pod has 1m for the head of its answer"
)
_MESH = "calls between pods don't pass the edge; they go on as they do without this"
_RULE_LOST = {
    "fault": "splicer injects no faults",
    "mirror": "requests are not copied",
    "mirrors": "requests are not copied",
    "mirrorPercentage": "requests are not copied",
    "mirrorPercent": "requests are not copied",
    "corsPolicy": "splicer does no CORS: have the pod send the fields, or response_headers",
    "delegate": "import the rules of that VirtualService in this one's place",
    "websocketUpgrade": 'it is no field of Istio\'s any more; upgrade = ["websocket"] is on each route',
}


def virtual_services(context: Context, services: Sequence[Resource]) -> None:
    """The routes of all VirtualServices: those for certain hosts come first.

    Args:
        context: gets them.
        services: the resources.
    """
    for service in sorted(services, key=lambda each: _rank(each.spec)):
        spec = service.spec
        hosts = spec.get("hosts").each()
        names = [context.whole_name(host.text, service.namespace) for host in hosts]
        if not _is_at_edge(context, spec):
            continue
        _pass_through(context, service)
        context.lost(spec.get("tcp"), "splicer is an HTTP proxy; other protocols are for another program")
        context.give(spec.get("exportTo"), Verdict.NO_NEED, "whoever reads the file sees it")
        made = [route for rule in spec.get("http").each() for route in _rule(context, service, rule)]
        for route in made:
            if "*" not in names:
                route.put("hosts", list(dict.fromkeys([*(route.get("hosts") or []), *names])), *leaf(spec.get("hosts")))
        if "*" in names:
            context.give(spec.get("hosts"), Verdict.DEFAULT, "a route without hosts is for all")
        context.draft.routes += made


def _pass_through(context: Context, service: Resource) -> None:
    """The rules for TLS that is passed on by the name that a client asks for."""
    for rule in service.spec.get("tls").each():
        names = [name for match in rule.get("match").each() for name in match.get("sniHosts").each()]
        destinations = rule.get("route").each()
        if not names or len(destinations) != 1:
            context.lost(rule, "write [[passthrough]] with the names and one upstream")
            continue
        target, scratch = destinations[0].get("destination"), RouteDraft()
        lead_to(context, scratch, target.get("host"), target.get("port", "number"), service.namespace)
        sources = [source for name in names for source in leaf(name)]
        where = f"{rule.file}:{rule.line}"
        pass_through(context.draft, [name.text for name in names], scratch, where, *sources)
        subset(context, target)
        context.ledger.hold(context.draft.all_sources())
        for match in rule.get("match").each():
            mark_rest(context.ledger, match.get("port"), Verdict.DEFAULT, "names are looked at on each such listener")
        mark_rest(context.ledger, destinations[0].get("weight"), Verdict.NO_NEED, "it is the only one")
        mark_rest(context.ledger, rule.get("match"), Verdict.LOST, "only the name is looked at")


def _rank(spec: Node) -> tuple[int, int]:
    hosts = [host.text for host in spec.get("hosts").each()]
    wild = [host for host in hosts if "*" in host]
    return (2 if "*" in hosts else 1 if wild else 0), -max((len(host) for host in wild), default=0)


def _is_at_edge(context: Context, spec: Node) -> bool:
    gateways = spec.get("gateways").each()
    for gateway in gateways:
        if gateway.text == "mesh":
            context.lost(gateway, _MESH)
        else:
            context.give(gateway, Verdict.DEFAULT, "the edge is the gateway")
    if gateways and all(gateway.text == "mesh" for gateway in gateways):
        context.lost(spec, _MESH)
        return False
    if not gateways:
        context.ledger.notice("A VirtualService without gateways is for the mesh; its rules are imported all the same.")
    return True


def _rule(context: Context, service: Resource, rule: Node) -> Iterator[RouteDraft]:
    for match in rule.get("match").each() or [Node(rule.file, rule.line, "match")]:
        found = next((node for _, node in match.get("uri").items()), None)
        wish = match.get("name").text or rule.get("name").text or (found.text if found is not None else service.name)
        for named in (match.get("name"), rule.get("name")):
            context.give(named, Verdict.NO_NEED, "it is the route's name")
        route = context.route(wish, rule)
        pattern(context, route, match)
        for gateway in match.get("gateways").each():
            if gateway.text == "mesh":
                context.lost(gateway, _MESH)
            else:
                context.give(gateway, Verdict.DEFAULT, "the edge is the gateway")
        _action(context, service, route, rule)
        yield route


def _action(context: Context, service: Resource, route: RouteDraft, rule: Node) -> None:
    for key, why in _RULE_LOST.items():
        context.lost(rule.get(key), why)
    if rule.get("delegate").is_there:
        route.closed.append("its rules are those of another VirtualService")
        return
    answer = rule.get("directResponse")
    if answer.is_there:
        _direct(context, route, answer)
        return
    if rule.get("redirect").is_there:
        _redirect(context, route, rule.get("redirect"))
        return
    destinations = rule.get("route").each()
    for destination in destinations:
        weight = destination.get("weight")
        several = len(destinations) > 1
        target = destination.get("destination")
        number = (weight.number() or 0) if several else None
        lead_to(context, route, target.get("host"), target.get("port", "number"), service.namespace, number)
        subset(context, target)
        mark_rest(context.ledger, weight, Verdict.CARRIED, "its share of the route's upstream")
        if several:
            context.lost(destination.get("headers"), "header fields of one destination: write a route for each")
        else:
            edits(context, route, destination.get("headers"))
    edits(context, route, rule.get("headers"))
    _rewrite(context, route, rule.get("rewrite"))
    route.put("upgrade", ["websocket"])
    _times(context, route, rule)


def _direct(context: Context, route: RouteDraft, answer: Node) -> None:
    route.put(("respond", "status"), answer.get("status").number() or 200, *leaf(answer.get("status")))
    body = answer.get("body")
    if body.get("string").is_there:
        route.put(("respond", "body"), body.get("string").text, *leaf(body))
        route.put(("respond", "content_type"), "text/plain")
    else:
        context.lost(body, "a body is text: write it as body")


def _redirect(context: Context, route: RouteDraft, node: Node) -> None:
    scheme, host, uri = node.get("scheme").text, node.get("authority").text, node.get("uri").text
    port = node.get("port").text
    where = f"{scheme or '{scheme}'}://{host or '{host}'}{f':{port}' if port else ''}" if scheme or host or port else ""
    if uri == "%PREFIX()%":
        uri = ""
    path = f"{escaped(uri)}?{{query}}" if uri else "{target}"
    code = node.get("redirectCode").number() or 301
    route.put("redirect", {"to": f"{where}{path}", "status": code}, *leaf(node))
    if node.get("derivePort").is_there:
        context.lost(node.get("derivePort"), "write the port into redirect.to")


def _rewrite(context: Context, route: RouteDraft, node: Node) -> None:
    uri, authority, regex = node.get("uri"), node.get("authority"), node.get("uriRegexRewrite")
    if authority.text:
        route.put("host", escaped(authority.text), *leaf(authority))
    prefix = route.get("prefix")
    if uri.text == "/" and prefix is not None:  # Istio makes no "//" of it
        route.put("strip_prefix", True, *leaf(uri))
    elif uri.text:
        replace_prefix(route, uri.text, *leaf(uri))
    if not regex.is_there:
        return
    found = numbered_groups(regex.get("match").text, regex.get("rewrite").text)
    if found is None or not regex.get("match").text.startswith("^"):
        context.lost(regex, "write a regex with named groups for the whole path, and a rewrite with them")
        route.closed.append("its uriRegexRewrite could not be imported")
        return
    rest_of(route)
    sources = [source for key in ("path", "regex") for source in route.drop((key,))]
    route.put("regex", found[0], *sources)
    route.put("rewrite", found[1], *leaf(regex))
    context.differs(regex, "a path that the expression does not match goes to a later route")


def _times(context: Context, route: RouteDraft, rule: Node) -> None:
    timeout = rule.get("timeout")
    seconds = seconds_of(timeout.text)
    if seconds is not None:
        answer = seconds
        if seconds == 0 or seconds >= _LONG:
            context.differs(timeout, _NOT_FOR_CALLS)
            answer = HANDSHAKE
        route.put(("deadlines", "response"), duration(seconds), *leaf(timeout))
        route.put(("deadlines", "handshake"), duration(answer), *leaf(timeout))
        route.put(("deadlines", "attempts"), duration(answer), *leaf(timeout))
    policy = rule.get("retries")
    attempts = policy.get("attempts")
    if policy.is_there:
        count = attempts.number()
        retries(
            context.ledger,
            route,
            policy.get("retryOn"),
            2 if count is None else count,
            [attempts, policy.get("retryOn")],
        )
    per_try = policy.get("perTryTimeout")
    if (seconds := seconds_of(per_try.text)) is not None:
        route.put(("deadlines", "handshake"), duration(seconds), *leaf(per_try))
    mark_rest(context.ledger, policy.get("retryRemoteLocalities"), Verdict.LOST, "there is no counterpart")
