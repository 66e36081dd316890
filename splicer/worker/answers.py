"""A worker's answers to the admin process's queries (`ipc/query.py`)."""

from __future__ import annotations

from collections.abc import Callable

from splicer.errors import Side
from splicer.ipc.queries import AskCounts, AskEndpoints, AskPlaces, AskTunnels, ClosedRow, CloseTunnel
from splicer.ipc.query import Answers, RowBatches
from splicer.observe import tunnel_rows
from splicer.observe.tunnel_choice import TunnelRates
from splicer.record import Record
from splicer.relay.api import Relay


def answers(relay: Relay[Record], slot: int, endpoints: Callable[[], RowBatches]) -> Answers:
    """The answers, by query.

    Args:
        relay: the relay, which has the tunnels.
        slot: the worker's slot.
        endpoints: makes rows of the upstreams' endpoints.
    """
    rates = TunnelRates(relay)

    def close(question: CloseTunnel) -> RowBatches:
        found = tunnel_rows.find(relay, question.id)
        if found is not None:
            relay.end(found, Side.PROXY, "operator")
            yield [ClosedRow(question.id)]

    return {
        AskTunnels: lambda question: tunnel_rows.tunnels(relay, slot, question, rates),
        AskPlaces: lambda _: tunnel_rows.places(relay),
        AskCounts: lambda _: tunnel_rows.counts(relay, slot),
        AskEndpoints: lambda _: endpoints(),
        CloseTunnel: close,
    }
