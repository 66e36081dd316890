"""Workers that are replaced one after another, and an upgrade that is refused: no process is involved."""

from __future__ import annotations

import pytest

from splicer.ipc.messages import Imported, Prepared, Serving
from splicer.supervisor.outcomes import Topic
from splicer.supervisor.upgrade import Upgrade
from tests.supervisor.harness import Far, SupervisorHarness


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
def upgrade(harness: SupervisorHarness) -> Upgrade:
    return Upgrade(harness.edge, lambda: None)


def _gets_ready(worker: Far) -> None:
    worker.send(Imported)
    worker.send(Prepared)


def _serves(worker: Far) -> None:
    worker.send(Serving)


def _far(harness: SupervisorHarness, pid: int) -> Far:
    return next(far for far in harness.all if far.pid == pid)


def _two_workers(harness: SupervisorHarness) -> None:
    """Two that serve, and a spare."""
    harness.open(workers=2, spares=1)
    first, second, spare = (far for far in harness.all if far.module == "splicer.worker")
    for far in (first, second, spare):
        _gets_ready(far)
    _serves(first)
    _serves(second)


def _pids(harness: SupervisorHarness) -> dict[int, int]:
    return {slot: process.pid for slot, process in sorted(harness.edge.workers.serving.items())}


# Two at once could leave an edge of two without anybody who accepts.
def test_one_worker_after_the_other_is_replaced(
    harness: SupervisorHarness, upgrade: Upgrade, operator: Operator
) -> None:
    _two_workers(harness)
    before = _pids(harness)
    harness.edge.outcomes.waiting[operator] = Topic.RENEWAL
    upgrade.recycle("recycled")
    assert upgrade.underway
    upgrade.go_on()
    one = _pids(harness)
    assert (one[1] != before[1], one[2]) == (True, before[2])
    upgrade.go_on()
    assert _pids(harness) == one, "the new one does not serve yet"
    _serves(_far(harness, one[1]))
    upgrade.go_on()
    assert _pids(harness) == one, "the old one has not left yet"
    _far(harness, before[1]).die(0)
    _gets_ready(harness.all[-1])
    upgrade.go_on()
    both = _pids(harness)
    assert (both[1], both[2] != before[2]) == (one[1], True)
    _serves(_far(harness, both[2]))
    _far(harness, before[2]).die(0)
    assert operator.answers == []
    upgrade.go_on()
    assert not upgrade.underway
    assert operator.answers == [(["recycled: 2 new workers serve"], True)]
    [line] = harness.said.of("recycled")
    assert line["workers"] == 2


def test_an_operator_hears_of_new_workers_that_fail(
    harness: SupervisorHarness, upgrade: Upgrade, operator: Operator
) -> None:
    _two_workers(harness)
    harness.edge.outcomes.waiting[operator] = Topic.RENEWAL
    upgrade.recycle("recycled")
    for _ in range(5):
        harness.edge.workers.backoff.failed()
    before = _pids(harness)
    upgrade.go_on()
    [(lines, ok)] = operator.answers
    assert lines[0].startswith("5 new workers in a row have failed")
    assert not ok
    assert set(_pids(harness)) == set(before), "it is tried again and again"
    assert upgrade.underway


def test_nothing_is_replaced_unasked(harness: SupervisorHarness, upgrade: Upgrade) -> None:
    _two_workers(harness)
    before = _pids(harness)
    upgrade.go_on()
    assert _pids(harness) == before
    assert not upgrade.underway


def test_what_is_closed_is_forgotten(harness: SupervisorHarness, upgrade: Upgrade) -> None:
    _two_workers(harness)
    before = _pids(harness)
    upgrade.recycle("recycled")
    upgrade.close()
    upgrade.go_on()
    assert _pids(harness) == before
    assert not upgrade.underway


@pytest.mark.parametrize("why", ["starting", "stopping"])
def test_an_edge_that_begins_or_ends_is_not_upgraded(
    harness: SupervisorHarness, upgrade: Upgrade, operator: Operator, why: str
) -> None:
    if why == "stopping":
        harness.open(workers=1)
        harness.edge.stopping = True
    harness.edge.outcomes.waiting[operator] = Topic.PREFLIGHT
    upgrade.upgrade()
    assert operator.answers == [(["the edge is starting or stopping", "not upgraded; the old code goes on"], False)]
    assert [line["kept"] for line in harness.said.of("upgrade_failed")] == ["the old code"]
    assert not upgrade.underway


def test_without_a_process_that_tries_the_new_code_the_old_goes_on(
    harness: SupervisorHarness, upgrade: Upgrade, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    harness.open(workers=1)
    monkeypatch.setattr(upgrade._preflight, "ask", fail)
    harness.edge.outcomes.waiting[operator] = Topic.PREFLIGHT
    upgrade.upgrade()
    [(lines, ok)] = operator.answers
    assert lines[0] == "no process can be had that tries the new code: Resource temporarily unavailable"
    assert not ok
