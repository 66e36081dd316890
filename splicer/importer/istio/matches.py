"""`match` of a VirtualService's rule."""

from __future__ import annotations

from splicer.importer.draft import RouteDraft
from splicer.importer.istio.context import Context, leaf, string_match
from splicer.importer.matching import condition, whole, without_case
from splicer.importer.yaml_source import Node

_LOST = {
    "sourceLabels": "the edge does not know a client's labels",
    "sourceNamespace": "the edge does not know a client's namespace",
    "port": "splicer's routes hold on all of its addresses",
    "statPrefix": "splicer names its metrics by route",
}
_METHOD = "another method gets 405, and no later route is tried"
_NOT_OPEN = frozenset({"sourceLabels", "sourceNamespace", "port"})


def pattern(context: Context, route: RouteDraft, match: Node) -> None:
    """Set a route's pattern and its conditions.

    Args:
        context: gets the verdicts.
        route: the route.
        match: one entry of `match`.
    """
    _uri(route, match)
    method = string_match(match.get("method"))
    if method is not None:
        _word(context, route, "methods", method)
    authority = string_match(match.get("authority"))
    if authority is not None:
        _word(context, route, "hosts", authority)
    scheme = string_match(match.get("scheme"))
    if scheme is not None:
        _word(context, route, "scheme", scheme)
    for table, key in (("headers", "headers"), ("query", "queryParams")):
        for name, node in match.get(key).items():
            _test(context, route, table, name, node)
    for name, node in match.get("withoutHeaders").items():
        if string_match(node) is None:
            route.put(("headers", name), False, *leaf(node))
        else:
            context.lost(node, "only the absence of a header is a condition; write the routes for the other values")
            route.closed.append(f"the condition on {name} could not be imported")
    for key, why in _LOST.items():
        if match.get(key).is_there:
            context.lost(match.get(key), why)
            if key in _NOT_OPEN:
                route.closed.append(f"{key} could not be imported")


def _uri(route: RouteDraft, match: Node) -> None:
    found = string_match(match.get("uri"))
    if found is None:
        route.put("prefix", "/")
        return
    kind, node = found
    ignore = match.get("ignoreUriCase")
    if ignore.is_true and kind != "regex":
        route.put("regex", without_case(node.text, prefix=kind == "prefix"), *leaf(node), *leaf(ignore))
    elif kind == "regex":
        route.put("regex", whole(node.text), *leaf(node))
    else:
        route.put("path" if kind == "exact" else "prefix", node.text, *leaf(node))


def _word(context: Context, route: RouteDraft, key: str, found: tuple[str, Node]) -> None:
    kind, node = found
    if kind != "exact":
        context.lost(node, f"write {key} with all values")
        route.closed.append(f"its {key} could not be imported")
    elif key == "scheme":
        route.put(key, node.text, *leaf(node))
    else:
        route.put(key, [node.text.upper() if key == "methods" else node.text.partition(":")[0]], *leaf(node))
        if key == "methods":
            context.differs(node, _METHOD)


def _test(context: Context, route: RouteDraft, table: str, name: str, node: Node) -> None:
    found = string_match(node)
    test = True if found is None else condition(found[0], found[1].text)
    if name.startswith(":"):
        context.lost(node, f"{name}: write methods, hosts or scheme")
        route.closed.append(f"the condition on {name} could not be imported")
    else:
        route.put((table, name), test, *leaf(node))
