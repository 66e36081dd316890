"""What the admin process may ask a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from splicer.errors import Side
from splicer.model import Record
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


def _rows(relay: Relay, question: str, **words: Any) -> list[Any]:
    offered = answers(cast("Any", relay), 3, lambda: iter([[{"upstream": "app"}]]))
    return [row for batch in offered[question](words) for row in batch]


def test_an_operator_closes_one_call_by_its_id() -> None:
    relay = Relay("one", "two")
    assert _rows(relay, "close", id="two") == [{"closed": "two"}]
    assert relay.ended == [("two", Side.PROXY, "operator")]


def test_a_call_that_is_elsewhere_is_not_answered_for() -> None:
    relay = Relay("one")
    assert _rows(relay, "close", id="two") == []
    assert relay.ended == []


@pytest.mark.parametrize("question", ["tunnels", "gauges", "endpoints", "close"])
def test_these_are_the_questions(question: str) -> None:
    assert question in answers(cast("Any", Relay()), 3, lambda: iter(()))


def test_sums_say_whose_they_are() -> None:
    assert _rows(Relay(), "gauges") == [{"tunnels": [], "to_pod": 0, "to_client": 0, "slot": 3}]


def test_endpoints_are_asked_for_each_time() -> None:
    assert _rows(Relay(), "endpoints") == [{"upstream": "app"}]
