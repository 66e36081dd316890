"""`match` of a route."""

from __future__ import annotations

from typing import Any

from splicer.importer.draft import RouteDraft
from splicer.importer.envoy.context import Context, leaf
from splicer.importer.matching import condition, elements, whole, without_case
from splicer.importer.yaml_source import Node

_ENCODED = "splicer matches the path's normal form: write unreserved characters plain"
_LOST = {
    "runtime_fraction": "write upstream = { a = 95, b = 5 } on the route",
    "grpc": "pods are spoken to in HTTP/1.1; gRPC needs another proxy",
    "tls_context": "splicer sees no client's certificate here",
    "dynamic_metadata": "splicer has no metadata",
    "connect_matcher": "splicer takes no CONNECT",
    "path_match_policy": "write path, prefix or regex",
}
_METHOD = "another method gets 405, and no later route is tried"


def pattern(context: Context, route: RouteDraft, match: Node) -> None:
    """Set a route's pattern and its conditions.

    Args:
        context: gets the verdicts.
        route: the route.
        match: the node.
    """
    insensitive = match.get("case_sensitive").value is False
    for key in ("path", "prefix", "path_separated_prefix"):
        node = match.get(key)
        if node.is_there:
            _literal(route, key, node, insensitive=insensitive)
    regex = match.get("safe_regex", "regex")
    if regex.is_there:
        route.put("regex", whole(regex.text), *leaf(regex))
        context.default(match.get("safe_regex", "google_re2"), "expressions are RE2's")
    if insensitive:
        route.sources[next(path for path in route.values if path[0] in ("regex", "path", "prefix"))] += leaf(
            match.get("case_sensitive")
        )
    for header in match.get("headers").each():
        _header(context, route, header)
    for parameter in match.get("query_parameters").each():
        _parameter(context, route, parameter)
    for key, why in _LOST.items():
        if match.get(key).is_there:
            context.lost(match.get(key), why)
            route.closed.append(f"{key} could not be imported")


def _literal(route: RouteDraft, key: str, node: Node, *, insensitive: bool) -> None:
    text = node.text
    if insensitive:
        route.put("regex", without_case(text, prefix=key != "path"), *leaf(node))
    elif key == "path_separated_prefix":
        route.put("regex", elements(text), *leaf(node))
    else:
        route.put(key, text, *leaf(node))


def string_match(node: Node) -> Any:
    """A `StringMatcher` as a condition; None: there is no counterpart."""
    ignore_case = node.get("ignore_case").is_true
    for kind in ("exact", "prefix", "suffix", "contains"):
        if node.get(kind).is_there:
            return condition(kind, node.get(kind).text, ignore_case=ignore_case)
    regex = node.get("safe_regex", "regex")
    return condition("regex", regex.text) if regex.is_there else None


_OLD = {"exact_match": "exact", "prefix_match": "prefix", "suffix_match": "suffix", "contains_match": "contains"}


def _test(node: Node) -> Any:
    if node.get("string_match").is_there:
        return string_match(node.get("string_match"))
    for key, kind in _OLD.items():
        if node.get(key).is_there:
            return condition(kind, node.get(key).text)
    if (regex := node.get("safe_regex_match", "regex")).is_there:
        return condition("regex", regex.text)
    present = node.get("present_match")
    return present.is_true if present.is_there else True


def _header(context: Context, route: RouteDraft, node: Node) -> None:
    name, test = node.get("name").text, _test(node)
    if node.get("invert_match").is_true:
        test = {True: False, False: True}.get(test) if isinstance(test, bool) else None
    sources = leaf(node)
    if test is None:
        context.lost(node, "there is no such condition; write the routes for the other values")
        route.closed.append(f"the condition on {name} could not be imported")
    elif name == ":method" and isinstance(test, str):
        route.put("methods", [test.upper()], *sources)
        context.ledger.differs(sources[0], _METHOD)
    elif name in (":authority", "host") and isinstance(test, str):
        route.put("hosts", [test.partition(":")[0]], *sources)
    elif name == ":scheme" and test in ("http", "https"):
        route.put("scheme", test, *sources)
    elif name.startswith(":"):
        context.lost(node, f"{name}: write methods, hosts, scheme or a pattern")
        route.closed.append(f"the condition on {name} could not be imported")
    else:
        route.put(("headers", name), test, *sources)


def _parameter(context: Context, route: RouteDraft, node: Node) -> None:
    test = _test(node)
    name = node.get("name").text
    if test is None:
        context.lost(node, "there is no such condition; write the routes for the other values")
        route.closed.append(f"the condition on {name} could not be imported")
    else:
        route.put(("query", name), test, *leaf(node))
