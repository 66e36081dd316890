"""The numbers of client connections, which tell of each change before it."""

from __future__ import annotations

from splicer.session.context import ConnectionState, StubStatus
from splicer.worker.client_counts import ClientCounts


def test_each_change_is_told_and_counted() -> None:
    told = list[int]()
    counts = ClientCounts(lambda: told.append(counts.active))
    place = counts.enter(ConnectionState.READING)
    assert (told, counts.active) == ([0], 1)
    place = counts.move(place, ConnectionState.WRITING)
    assert (told, counts.writing) == ([0, 1], 1)
    counts.leave(place)
    assert (told, counts.active) == ([0, 1, 1], 0)


def test_they_add_up_with_those_of_others() -> None:
    counts = ClientCounts(lambda: None)
    counts.enter(ConnectionState.WAITING)
    assert counts + StubStatus(accepted=2, waiting=3) == StubStatus(accepted=2, waiting=4)
