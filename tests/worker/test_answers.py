"""What the admin process may ask a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from splicer.errors import Side
from splicer.ipc.queries import (
    AskCounts,
    AskEndpoints,
    ClosedRow,
    CloseTunnel,
    CountRow,
    EndpointRow,
    Question,
)
from splicer.record import Record
from splicer.worker.answers import answers


class Relay:
    """It has tunnels, and ends those that it is told to."""

    def __init__(self, *ids: str) -> None:
        self._views = [SimpleNamespace(owner=Record(each, "192.0.2.7", 1.0), alive=True) for each in ids]
        self.ended: list[tuple[str, Side, str]] = []

    def views(self) -> list[SimpleNamespace]:
        return self._views

    def end(self, tunnel: Any, side: Side, reason: str) -> None:
        self.ended.append((tunnel.owner.id, side, reason))


_ENDPOINT = EndpointRow("app", "app", "192.0.2.1", 80, "literal", 0, "up", None, 1.0)


def _rows(relay: Relay, question: Question[Any]) -> list[Any]:
    offered = answers(cast("Any", relay), 3, lambda: iter([[_ENDPOINT]]))
    return [row for batch in offered[type(question)](question) for row in batch]


def test_an_operator_closes_one_call_by_its_id() -> None:
    relay = Relay("one", "two")
    assert _rows(relay, CloseTunnel(1, "two")) == [ClosedRow("two")]
    assert relay.ended == [("two", Side.PROXY, "operator")]


def test_a_call_that_is_elsewhere_is_not_answered_for() -> None:
    relay = Relay("one")
    assert _rows(relay, CloseTunnel(1, "two")) == []
    assert relay.ended == []


def test_every_question_has_an_answer() -> None:
    offered = answers(cast("Any", Relay()), 3, lambda: iter(()))
    assert set(offered) == set(Question.KINDS.values())


def test_sums_say_whose_they_are() -> None:
    assert _rows(Relay(), AskCounts(1)) == [CountRow((), 0, 0, 3)]


def test_endpoints_are_asked_for_each_time() -> None:
    assert _rows(Relay(), AskEndpoints(1)) == [_ENDPOINT]
