"""HTTPRoutes of the Gateway API (https://gateway-api.sigs.k8s.io/reference/spec/#httproute)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from splicer.importer.draft import RouteDraft
from splicer.importer.istio.context import Context, leaf
from splicer.importer.istio.destinations import lead_to
from splicer.importer.istio.headers import edit, remove
from splicer.importer.istio.resources import Resource
from splicer.importer.ledger import Verdict
from splicer.importer.matching import condition, elements, whole
from splicer.importer.paths import escaped
from splicer.importer.regex import literal
from splicer.importer.times import duration, seconds_of
from splicer.importer.yaml_source import Node, mark_rest

Rank = tuple[int, int, int, int, int, int, int]
_METHOD = "another method gets 405, and no later route is tried"
_FILTERS_LOST = {
    "RequestMirror": "requests are not copied",
    "CORS": "splicer does no CORS: have the pod send the fields, or response_headers",
    "ExternalAuth": "write authorize on the route",
    "ExtensionRef": "it belongs to one controller: see what it does, and write that",
}
_GUARDS = frozenset({"ExternalAuth", "ExtensionRef"})


def http_routes(context: Context, found: Sequence[Resource]) -> None:
    """The routes of all HTTPRoutes, in the order in which the specification has them matched.

    Args:
        context: gets them.
        found: the resources.
    """
    made: list[tuple[Rank, RouteDraft]] = []
    for resource in found:
        spec = resource.spec
        context.give(spec.get("parentRefs"), Verdict.NO_NEED, "splicer is the gateway")
        hosts = [host.text for host in spec.get("hostnames").each()]
        for rule in spec.get("rules").each():
            for rank, route in _rule(context, resource, rule, hosts):
                if hosts:
                    route.put("hosts", hosts, *leaf(spec.get("hostnames")))
                made.append((rank, route))
    made.sort(key=lambda each: each[0])
    context.draft.routes += [route for _, route in made]


def _rule(context: Context, resource: Resource, rule: Node, hosts: Sequence[str]) -> Iterator[tuple[Rank, RouteDraft]]:
    for match in rule.get("matches").each() or [Node(rule.file, rule.line, "matches")]:
        path = match.get("path")
        text = path.get("value").text or "/"
        kind = path.get("type").text or "PathPrefix"
        route = context.route(rule.get("name").text or (text if text != "/" else resource.name), rule)
        context.give(rule.get("name"), Verdict.NO_NEED, "it is the route's name")
        _path(route, kind, text, path)
        _conditions(context, route, match)
        _action(context, resource, route, rule, kind, text)
        yield _rank(route, hosts, kind, text), route


def _rank(route: RouteDraft, hosts: Sequence[str], kind: str, text: str) -> Rank:
    wild = min((2 if not host else 1 if host.startswith("*") else 0 for host in hosts), default=2)
    longest = -max((len(host) for host in hosts), default=0)
    kinds = {"Exact": 0, "PathPrefix": 1, "RegularExpression": 2}
    headers = sum(path[0] == "headers" for path in route.values)
    query = sum(path[0] == "query" for path in route.values)
    return wild, longest, kinds.get(kind, 2), -len(text), int(route.get("methods") is None), -headers, -query


def _path(route: RouteDraft, kind: str, text: str, node: Node) -> None:
    if kind == "Exact":
        route.put("path", text, *leaf(node))
    elif kind == "RegularExpression":
        route.put("regex", whole(text), *leaf(node))
    elif text == "/":
        route.put("prefix", "/", *leaf(node))
    else:
        route.put("regex", elements(text), *leaf(node))


def _conditions(context: Context, route: RouteDraft, match: Node) -> None:
    method = match.get("method")
    if method.text:
        route.put("methods", [method.text], *leaf(method))
        context.differs(method, _METHOD)
    for table, key in (("headers", "headers"), ("query", "queryParams")):
        for node in match.get(key).each():
            kind = "regex" if node.get("type").text == "RegularExpression" else "exact"
            route.put((table, node.get("name").text), condition(kind, node.get("value").text), *leaf(node))


def _action(context: Context, resource: Resource, route: RouteDraft, rule: Node, kind: str, text: str) -> None:
    redirected = False
    for each in rule.get("filters").each():
        redirected |= _filter(context, route, each, kind, text)
    backends = rule.get("backendRefs").each()
    if redirected:
        return
    if not backends:
        route.put(("respond", "status"), 500)
        route.comments.append("a rule without backendRefs answers 500")
        return
    for backend in backends:
        weight = backend.get("weight")
        share = None if len(backends) == 1 else (1 if weight.number() is None else weight.number())
        namespace = backend.get("namespace").text or resource.namespace
        if backend.get("kind").text not in ("", "Service"):
            context.lost(backend, "an upstream is a name and a port: give the pods a Service")
            route.closed.append("its backend is no Service")
            continue
        lead_to(context, route, backend.get("name"), backend.get("port"), namespace, share)
        for key in ("kind", "group", "namespace", "weight"):
            mark_rest(context.ledger, backend.get(key), Verdict.CARRIED, "a part of the upstream")
        context.lost(backend.get("filters"), "filters of one backend: write a route for each")
    route.put("upgrade", ["websocket"])
    _times(context, route, rule)


def _times(context: Context, route: RouteDraft, rule: Node) -> None:
    request, backend = rule.get("timeouts", "request"), rule.get("timeouts", "backendRequest")
    if (seconds := seconds_of(request.text)) is not None:
        for key in ("response", "attempts", "handshake"):
            route.put(("deadlines", key), duration(seconds), *leaf(request))
    if (seconds := seconds_of(backend.text)) is not None:
        route.put(("deadlines", "handshake"), duration(seconds), *leaf(backend))
    context.lost(rule.get("sessionPersistence"), "hash_on chooses among several upstreams, by a part of the request")
    retry = rule.get("retry")
    count = retry.get("attempts").number()
    if retry.is_there:
        codes = [code.number() or 0 for code in retry.get("codes").each()]
        route.put("retries", min(1 if count is None else count, 5), *leaf(retry.get("attempts")))
        route.put("fallback_on", [code for code in codes if code >= 500], *leaf(retry.get("codes")))
        context.lost(retry.get("backoff"), "retries go to other addresses, without a pause")


def _filter(context: Context, route: RouteDraft, node: Node, kind: str, text: str) -> bool:
    """One filter; whether it answers the request."""
    name = node.get("type").text
    context.give(node.get("type"), Verdict.NO_NEED, "it says what the filter is")
    for key, table in (("requestHeaderModifier", "request_headers"), ("responseHeaderModifier", "response_headers")):
        for operation in ("set", "add"):
            for entry in node.get(key, operation).each():
                edit(context, route, table, entry.get("name").text, entry.get("value"), added=operation == "add")
                context.give(entry.get("name"), Verdict.CARRIED, f"in {table}")
        remove(route, table, node.get(key, "remove").each())
    rewrite = node.get("urlRewrite")
    if rewrite.get("hostname").text:
        route.put("host", escaped(rewrite.get("hostname").text), *leaf(rewrite.get("hostname")))
    if rewrite.get("path").is_there:
        route.put("rewrite", _new_path(route, rewrite.get("path"), kind, text), *leaf(rewrite.get("path")))
    if name == "RequestRedirect":
        _redirect(route, node.get("requestRedirect"), kind, text)
        return True
    if name in _FILTERS_LOST:
        context.lost(node, _FILTERS_LOST[name])
        if name in _GUARDS:
            route.closed.append(f"{name} could not be imported")
    return False


def _new_path(route: RouteDraft, path: Node, kind: str, text: str) -> str:
    whole_path, prefix = path.get("replaceFullPath"), path.get("replacePrefixMatch")
    if whole_path.is_there:
        return escaped(whole_path.text)
    if kind != "PathPrefix":
        return escaped(prefix.text)
    sources = [source for key in ("prefix", "regex") for source in route.drop((key,))]
    route.put("regex", f"^{literal(text.rstrip('/'))}(?:/(?<rest>.*))?$", *sources)
    return f"{escaped(prefix.text.rstrip('/'))}/{{rest}}"


def _redirect(route: RouteDraft, node: Node, kind: str, text: str) -> None:
    scheme, host, port = node.get("scheme").text, node.get("hostname").text, node.get("port").text
    where = f"{scheme or '{scheme}'}://{host or '{host}'}{f':{port}' if port else ''}" if scheme or host or port else ""
    path = f"{_new_path(route, node.get('path'), kind, text)}?{{query}}" if node.get("path").is_there else "{target}"
    code = node.get("statusCode").number() or 302
    route.put("redirect", {"to": f"{where}{path}", "status": code}, *leaf(node))
