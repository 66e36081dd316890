"""Retries of Envoy and Istio."""

from __future__ import annotations

from collections.abc import Sequence

from splicer.importer.draft import RouteDraft
from splicer.importer.ledger import Ledger
from splicer.importer.yaml_source import Node

_RETRIED = "the retry goes to another address of the upstream; Envoy may ask the same one again"
_STATUSES = {"5xx": [500, 502, 503, 504], "gateway-error": [502, 503, 504], "503": [503], "retriable-status-codes": []}


def retries(ledger: Ledger, route: RouteDraft, on: Node, count: int, sources: Sequence[Node]) -> None:
    """Set a route's `retries`.

    Args:
        ledger: gets the differences.
        route: the route.
        on: what is retried, as Envoy's `retry_on`.
        count: how many retries.
        sources: the nodes that say so.
    """
    words = [word.strip() for word in on.text.split(",") if word.strip()]
    statuses = sorted({status for word in words for status in _STATUSES.get(word, [])})
    statuses = sorted({*statuses, *(int(word) for word in words if word.isdecimal() and 500 <= int(word) <= 599)})
    those = [source for node in sources for source in node.leaves()]
    if count:
        route.put("retries", min(count, 5), *those)
        route.put("fallback_on", statuses, *on.leaves())
    for source in those[:1]:
        ledger.differs(source, _RETRIED + ("; at most 5 retries" if count > 5 else ""))
