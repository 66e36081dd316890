"""Header edits: `request_headers_to_add` and the like."""

from __future__ import annotations

import re
from collections.abc import Sequence

from splicer.importer.draft import RouteDraft
from splicer.importer.envoy.context import Context, leaf
from splicer.importer.yaml_source import Node

_FORMAT = re.compile(r"%([A-Z_]+)(?:\(([^)%]*)\))?(?::\d+)?%|%%|[{}]")
_FACTS = {
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": "{client}",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": "{client}",
}
_FIELDS = {":AUTHORITY": "{header:Host}", ":PATH": "{target}", ":SCHEME": "{scheme}"}
BOTH = ("request", "response")
ANSWER = ("response",)
_APPENDED = "it replaces what is there; Envoy appends to it"
_ADDING = frozenset({"OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"})


def value_of(text: str) -> str | None:
    """A header's value with Envoy's formatters as routing.toml has it; None: one has no counterpart."""
    unknown = False

    def replaced(found: re.Match[str]) -> str:
        nonlocal unknown
        if found[0] == "%%":
            return "%"
        if found[0] in "{}":
            return found[0] * 2
        if found[1] == "REQ" and found[2]:
            name = found[2].partition("?")[0]
            return _FIELDS.get(name.upper(), f"{{header:{name}}}")
        if found[1] in _FACTS:
            return _FACTS[found[1]]
        unknown = True
        return ""

    value = _FORMAT.sub(replaced, text)
    return None if unknown else value


def edits(context: Context, route: RouteDraft, levels: Sequence[Node], kinds: Sequence[str] = BOTH) -> None:
    """Set a route's `request_headers` and `response_headers`.

    Args:
        context: gets the differences.
        route: the route.
        levels: the route, its virtual host and the whole table; the first that has a header wins.
        kinds: "request", "response", or both: an answer without a pod has no request that a pod gets.
    """
    for level in levels:
        for kind in kinds:
            for entry in level.get(f"{kind}_headers_to_add").each():
                _add(context, route, f"{kind}_headers", entry)
            for name in level.get(f"{kind}_headers_to_remove").each():
                _put(route, f"{kind}_headers", name.text, False, name)


def _add(context: Context, route: RouteDraft, key: str, entry: Node) -> None:
    header = entry.get("header")
    value = value_of(header.get("value").text)
    if value is None:
        context.lost(entry, "there is no counterpart of its formatters; see docs/configuration.md, request_headers")
        return
    name = header.get("key").text
    if name.lower() in ("host", ":authority"):
        route.put("host", value, *leaf(entry))
    else:
        _put(route, key, name, value or False, entry)
    action, append = entry.get("append_action").text, entry.get("append")
    if (action not in _ADDING and not (append.is_there and not append.is_true)) and key == "request_headers":
        context.differs(header.get("value"), _APPENDED)


def _put(route: RouteDraft, key: str, name: str, value: object, node: Node) -> None:
    if (key, name) not in route.values:
        route.put((key, name), value, *leaf(node))
    else:
        route.sources[(key, name)] += leaf(node)
