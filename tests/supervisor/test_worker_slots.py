"""Which worker gets which slot, who takes whose place, and what becomes of one that does not answer."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from splicer.ipc import wire
from splicer.ipc.message import Message
from splicer.ipc.messages import Imported, Inherit, Prepare, Prepared, Reload, Reloaded, Retire, Serve, Serving
from splicer.supervisor import process_table, worker_slots
from splicer.supervisor.processes import State
from splicer.supervisor.vaults import OwnVault
from tests.supervisor.harness import Far, SupervisorHarness


@pytest.mark.parametrize(
    ("orphaned", "order"), [([], [1, 2, 3, 4]), ([3], [3, 1, 2, 4]), ([2, 4], [2, 4, 1, 3]), ([9], [1, 2, 3, 4])]
)
def test_slots_that_calls_wait_for_are_filled_first(
    harness: SupervisorHarness, monkeypatch: pytest.MonkeyPatch, orphaned: list[int], order: list[int]
) -> None:
    monkeypatch.setattr(OwnVault, "orphaned_slots", orphaned)
    harness.open(workers=4)
    given = []
    for worker in [far for far in harness.all if far.module == "splicer.worker"]:
        worker.send(Imported)
        worker.send(Prepared)
        while not isinstance(told := worker.next()[0], Serve):
            pass
        given.append(told.slot)
        orphaned[:] = [slot for slot in orphaned if slot != given[-1]]
    assert given == order


def test_what_moves_frames_is_told_by_each_worker(harness: SupervisorHarness) -> None:
    harness.open(workers=3)
    movers = harness.edge.workers
    told = []
    for worker, mover in zip(list(harness.all), ("native", "", "python"), strict=False):
        worker.send(Imported, mover=mover)
        worker.send(Prepared)
        told.append(movers.movers)
    assert told == ["native", "native", "native, python"], "one of an older program says nothing"


# At the start it reads the configuration just then: the spare would be executed, and share no memory.
def test_what_a_worker_says_starts_no_process_before_the_template_is_asked_for(harness: SupervisorHarness) -> None:
    harness.open(workers=1)
    workers = harness.edge.workers
    workers.spares = 1
    [process] = workers.all.values()
    before = len(harness.all)
    workers.on_message(process, Imported("native"))
    assert process.owed, "it gets its configuration at once"
    assert len(harness.all) == before
    harness.turn()
    assert len(harness.all) == before + 1


# It lives, for its loop turns: but what it was told may not hold, and others wait for it.
@pytest.mark.parametrize("owed", [Prepared, Serving, Reloaded])
def test_a_worker_that_never_answers_is_replaced(
    harness: SupervisorHarness, monkeypatch: pytest.MonkeyPatch, owed: type[Message]
) -> None:
    harness.open(workers=1)
    worker = next(far for far in harness.all if far.module == "splicer.worker")
    for answer in (Imported, Prepared, Serving):
        if answer is owed:
            break
        worker.send(answer)
    if owed is Reloaded:
        harness.edge.workers.request(Reload)
    [process] = harness.edge.workers.all.values()
    harness.edge.process_table.tick()
    assert process.fault is None
    with monkeypatch.context() as patches:
        patches.setattr(process_table, "_ANSWER_TIMEOUT", -1.0)
        harness.edge.process_table.tick()
    assert process.fault == f"no answer: {owed.KIND}"
    worker.die()
    [line] = harness.said.of("worker_died")
    assert line["reason"] == f"no answer: {owed.KIND}"
    assert not harness.edge.workers.awaits(harness.edge.process_table.last_request)


def test_one_that_has_answered_owes_nothing(harness: SupervisorHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.open(workers=1)
    worker = harness.worker()
    harness.edge.workers.request(Reload)
    worker.send(Reloaded)
    monkeypatch.setattr(process_table, "_ANSWER_TIMEOUT", -1.0)
    harness.edge.process_table.tick()
    assert not any(process.fault for process in harness.edge.workers.all.values())


# ---- one takes another's place ----


def _two(harness: SupervisorHarness) -> tuple[Far, Far]:
    """One that serves, and a spare."""
    harness.open(workers=1, spares=1)
    first, spare = (far for far in harness.all if far.module == "splicer.worker")
    for word in (Imported, Prepared, Serving):
        first.send(word)
    for word in (Imported, Prepared):
        spare.send(word)
    first.pending()
    spare.hear(Prepare)
    return first, spare


def _speak(one: int, other: int) -> None:
    with socket.socket(fileno=one) as left, socket.socket(fileno=other) as right:
        left.send(b"hello")
        assert right.recv(10) == b"hello"
        left.detach()
        right.detach()


def test_who_leaves_and_who_comes_get_a_channel_of_their_own(harness: SupervisorHarness) -> None:
    first, spare = _two(harness)
    assert harness.edge.workers.replace(1)
    order, ours = first.hear(Retire)
    assert order == Retire(None, None, wire.VERSION)
    spare.hear(Serve)
    _, its = spare.hear(Inherit)
    _speak(*ours, *its)
    with socket.socket(fileno=its[0]) as end:
        os.close(ours[0])
        harness.descriptors.remove(ours[0])
        assert end.recv(10) == b"", "the supervisor has kept an end"
        end.detach()


def test_one_whose_slot_is_gone_leaves_to_another(harness: SupervisorHarness) -> None:
    harness.open(workers=2)
    first, second = (far for far in harness.all if far.module == "splicer.worker")
    for far in (first, second):
        for word in (Imported, Prepared, Serving):
            far.send(word)
        far.pending()
    harness.edge.workers.slots = 1
    harness.edge.workers.retire_surplus()
    _, ours = second.hear(Retire)
    _, its = first.hear(Inherit)
    _speak(*ours, *its)


def test_without_an_heir_it_leaves_all_the_same(harness: SupervisorHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    first, spare = _two(harness)

    def none_left() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(worker_slots, "channel", none_left)
    assert harness.edge.workers.replace(1)
    assert first.hear(Retire)[1] == []
    assert spare.pending() == ["serve"]


def test_an_heir_that_can_not_be_told_is_none_and_is_not_killed(
    harness: SupervisorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, spare = _two(harness)
    say = wire.send

    def full(sock: socket.socket, message: Message, *more: Any) -> None:
        if isinstance(message, Inherit):
            raise BlockingIOError
        say(sock, message, *more)

    monkeypatch.setattr(wire, "send", full)
    assert harness.edge.workers.replace(1)
    assert first.hear(Retire)[1] == []
    assert spare.pending() == ["serve"]
    assert {process.state for process in harness.edge.workers.all.values()} >= {State.LEAVING, State.PLACED}


def test_when_all_leave_nobody_inherits(harness: SupervisorHarness) -> None:
    first, spare = _two(harness)
    harness.edge.workers.leave(10.0)
    order, fds = first.hear(Retire)
    assert (order.seconds, order.linger, fds) == (10.0, 0, [])
    assert spare.pending() == []
