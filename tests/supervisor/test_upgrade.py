"""Workers that are replaced one after another, and an upgrade that is refused: no process is involved."""

from __future__ import annotations

import pytest

from splicer.ipc.messages import Imported, Prepared, Serving
from splicer.supervisor.outcomes import Topic
from splicer.supervisor.upgrade import Upgrade
from tests.supervisor.harness import Far, Office


class Operator:
    """Waits for an answer."""

    def __init__(self) -> None:
        self.answers: list[tuple[list[str], bool]] = []

    def answer(self, lines: list[str], *, ok: bool) -> None:
        self.answers.append((lines, ok))


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def upgrade(room: Office) -> Upgrade:
    return Upgrade(room.edge, lambda: None)


def _gets_ready(worker: Far) -> None:
    worker.send(Imported)
    worker.send(Prepared)


def _serves(worker: Far) -> None:
    worker.send(Serving)


def _far(room: Office, pid: int) -> Far:
    return next(far for far in room.all if far.pid == pid)


def _two_workers(room: Office) -> None:
    """Two that serve, and a spare."""
    room.open(workers=2, spares=1)
    first, second, spare = (far for far in room.all if far.module == "splicer.worker")
    for far in (first, second, spare):
        _gets_ready(far)
    _serves(first)
    _serves(second)


def _pids(room: Office) -> dict[int, int]:
    return {slot: process.pid for slot, process in sorted(room.edge.workers.serving.items())}


# Two at once could leave an edge of two without anybody who accepts.
def test_one_worker_after_the_other_is_replaced(room: Office, upgrade: Upgrade, operator: Operator) -> None:
    _two_workers(room)
    before = _pids(room)
    room.edge.outcomes.waiting[operator] = Topic.RENEWAL
    upgrade.recycle("recycled")
    assert upgrade.underway
    upgrade.go_on()
    one = _pids(room)
    assert (one[1] != before[1], one[2]) == (True, before[2])
    upgrade.go_on()
    assert _pids(room) == one, "the new one does not serve yet"
    _serves(_far(room, one[1]))
    upgrade.go_on()
    assert _pids(room) == one, "the old one has not left yet"
    _far(room, before[1]).die(0)
    _gets_ready(room.all[-1])
    upgrade.go_on()
    both = _pids(room)
    assert (both[1], both[2] != before[2]) == (one[1], True)
    _serves(_far(room, both[2]))
    _far(room, before[2]).die(0)
    assert operator.answers == []
    upgrade.go_on()
    assert not upgrade.underway
    assert operator.answers == [(["recycled: 2 new workers serve"], True)]
    [line] = room.said.of("recycled")
    assert line["workers"] == 2


def test_an_operator_hears_of_new_workers_that_fail(room: Office, upgrade: Upgrade, operator: Operator) -> None:
    _two_workers(room)
    room.edge.outcomes.waiting[operator] = Topic.RENEWAL
    upgrade.recycle("recycled")
    for _ in range(5):
        room.edge.workers.backoff.failed()
    before = _pids(room)
    upgrade.go_on()
    [(lines, ok)] = operator.answers
    assert lines[0].startswith("5 new workers in a row have failed")
    assert not ok
    assert set(_pids(room)) == set(before), "it is tried again and again"
    assert upgrade.underway


def test_nothing_is_replaced_unasked(room: Office, upgrade: Upgrade) -> None:
    _two_workers(room)
    before = _pids(room)
    upgrade.go_on()
    assert _pids(room) == before
    assert not upgrade.underway


def test_what_is_closed_is_forgotten(room: Office, upgrade: Upgrade) -> None:
    _two_workers(room)
    before = _pids(room)
    upgrade.recycle("recycled")
    upgrade.close()
    upgrade.go_on()
    assert _pids(room) == before
    assert not upgrade.underway


@pytest.mark.parametrize("why", ["starting", "stopping"])
def test_an_edge_that_begins_or_ends_is_not_upgraded(
    room: Office, upgrade: Upgrade, operator: Operator, why: str
) -> None:
    if why == "stopping":
        room.open(workers=1)
        room.edge.stopping = True
    room.edge.outcomes.waiting[operator] = Topic.PREFLIGHT
    upgrade.upgrade()
    assert operator.answers == [(["the edge is starting or stopping", "not upgraded; the old code goes on"], False)]
    assert [line["kept"] for line in room.said.of("upgrade_failed")] == ["the old code"]
    assert not upgrade.underway


def test_without_a_process_that_tries_the_new_code_the_old_goes_on(
    room: Office, upgrade: Upgrade, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    room.open(workers=1)
    monkeypatch.setattr(upgrade._preflight, "ask", fail)
    room.edge.outcomes.waiting[operator] = Topic.PREFLIGHT
    upgrade.upgrade()
    [(lines, ok)] = operator.answers
    assert lines[0] == "no process can be had that tries the new code: Resource temporarily unavailable"
    assert not ok
