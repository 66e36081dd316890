"""A worker's answers to the admin process's queries (`ipc/query.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from splicer.errors import Side
from splicer.ipc.query import Answer, RowBatches
from splicer.ipc.wire import Message
from splicer.model import Record
from splicer.observe import tunnel_rows
from splicer.relay.api import Relay


def answers(relay: Relay[Record], slot: int, endpoints: Callable[[], RowBatches]) -> Mapping[str, Answer]:
    """The answers, by query.

    Args:
        relay: the relay, which has the tunnels.
        slot: the worker's slot.
        endpoints: makes rows of the upstreams' endpoints.
    """

    def close(words: Message) -> RowBatches:
        found = tunnel_rows.find(relay, words["id"])
        if found is not None:
            relay.end(found, Side.PROXY, "operator")
            yield [{"closed": words["id"]}]

    return {
        "tunnels": lambda _: tunnel_rows.tunnels(relay, slot),
        "gauges": lambda _: tunnel_rows.counts(relay, slot),
        "endpoints": lambda _: endpoints(),
        "close": close,
    }
