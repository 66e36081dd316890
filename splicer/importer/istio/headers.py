"""Header edits of VirtualServices and HTTPRoutes."""

from __future__ import annotations

from collections.abc import Iterable

from splicer.importer.draft import RouteDraft
from splicer.importer.envoy.headers import value_of
from splicer.importer.istio.context import Context, leaf
from splicer.importer.yaml_source import Node

_APPENDED = "it replaces what is there; the source appends to it"


def edit(context: Context, route: RouteDraft, key: str, name: str, value: Node, *, added: bool = False) -> None:
    """One field that is set or added.

    Args:
        context: gets the differences.
        route: the route.
        key: "request_headers" or "response_headers".
        name: the field's.
        value: the node with its value.
        added: whether the source appends it to what is there.
    """
    text = value_of(value.text)
    if text is None:
        context.lost(value, "there is no counterpart of its formatters; see docs/configuration.md, request_headers")
        return
    if name.lower() in ("host", ":authority") and key == "request_headers":
        route.put("host", text, *leaf(value))
    else:
        route.put((key, name), text or False, *leaf(value))
    if added and key == "request_headers":
        context.differs(value, _APPENDED)


def remove(route: RouteDraft, key: str, names: Iterable[Node]) -> None:
    """Fields that are removed.

    Args:
        route: the route.
        key: "request_headers" or "response_headers".
        names: the nodes with their names.
    """
    for name in names:
        route.put((key, name.text), False, *leaf(name))


def edits(context: Context, route: RouteDraft, headers: Node) -> None:
    """Istio's `headers`."""
    for key in ("request", "response"):
        for operation in ("set", "add"):
            for name, value in headers.get(key, operation).items():
                edit(context, route, f"{key}_headers", name, value, added=operation == "add")
        remove(route, f"{key}_headers", headers.get(key, "remove").each())
