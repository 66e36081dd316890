"""Processes and their ends: who is killed and why, and what is known of one that is gone."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc import wire
from splicer.ipc.arguments import WorkerArguments
from splicer.ipc.board import Board, Column
from splicer.ipc.messages import Drain, Reload, Unknown, WorkerReport
from splicer.supervisor import launch
from splicer.supervisor.process_table import Backoff, ProcessOwner, ProcessTable
from splicer.supervisor.processes import Process, State
from splicer.vault.protocol import channel
from tests.kit.descriptors import none_left_open
from tests.supervisor.harness import Said

_EXIT, _KILLED = 0, int(signal.SIGKILL)  # wait statuses
_PID = 1 << 22  # above the highest that Linux gives (proc(5), pid_max): it may be killed


class Ends(ProcessOwner):
    """Hears of ends."""

    REPORTS = WorkerReport

    def __init__(self) -> None:
        self.heard: list[tuple[int, str, bool]] = []

    def on_exit(self, process: Process, why: str, *, failed: bool) -> None:
        self.heard.append((process.pid, why, failed))


class Site:
    """A table, its owner, and processes that nobody has started."""

    def __init__(self) -> None:
        self.said = Said()
        self.selector = selectors.DefaultSelector()
        self.board = Board()
        self.table = ProcessTable(self.selector, self.board, self.said, self.spawn)
        self.owner = Ends()
        self.far: list[socket.socket] = []
        self.started: list[str] = []

    def spawn(self, module: str, *_: object) -> int:
        """No process can be started here."""
        self.started.append(module)
        raise OSError(11, "Resource temporarily unavailable")

    def process(self, state: State = State.SERVING) -> Process:
        """One more, in this state."""
        ours, its = channel()
        self.far.append(its)
        number = len(self.far)
        process = Process(_PID + number, number, ours, state)
        self.table.adopt(self.owner, process)
        return process

    def tick(self, seconds: int) -> None:
        """So many seconds go by."""
        for _ in range(seconds):
            self.table.tick()

    def turn(self) -> None:
        """Hear what there is to hear."""
        for key, mask in self.selector.select(0):
            key.data(mask)

    def end_all(self) -> None:
        """Nothing is left but the board and the selector."""
        for process in list(self.table.all.values()):
            self.table.died(process.pid, _KILLED)
        for sock in self.far:
            sock.close()

    def close(self) -> None:
        self.selector.close()
        self.board.close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    with none_left_open():
        yield site
        site.end_all()
    site.close()


# ---- one that lives and does not go on ----


@pytest.mark.parametrize(
    ("state", "seconds"),
    [(State.SERVING, 10), (State.READY, 10), (State.STARTING, 60), (State.IMPORTED, 60)],
)
def test_one_whose_loop_stands_still_is_stuck(site: Site, state: State, seconds: int) -> None:
    process = site.process(state)
    site.tick(1 + seconds)
    assert process.fault is None
    site.tick(1)
    assert process.fault == "stuck"
    site.table.died(process.pid, _KILLED)
    assert site.owner.heard == [(process.pid, "stuck", True)]


def test_one_whose_loop_turns_now_and_then_is_not(site: Site) -> None:
    process = site.process()
    for _ in range(5):
        site.tick(9)
        site.board.row(process.row)[Column.BEAT] += 1
    assert process.fault is None


def test_one_that_is_stuck_costs_no_other(site: Site) -> None:
    stuck, other = site.process(), site.process()
    for _ in range(30):
        site.board.row(other.row)[Column.BEAT] += 1
        site.tick(1)
    assert (stuck.fault, other.fault) == ("stuck", None)


# ---- ends ----


@pytest.mark.parametrize(
    ("state", "status", "why", "failed"),
    [
        (State.SERVING, _KILLED, "SIGKILL", True),
        (State.SERVING, _EXIT, "exit 0", True),
        (State.LEAVING, _EXIT, "exit 0", False),
        (State.LEAVING, _KILLED, "SIGKILL", True),
        (State.GONE, _EXIT, "exit 0", False),
        (State.GONE, 256, "exit 1", True),
    ],
)
def test_who_was_told_to_end_and_does_has_not_failed(
    site: Site, state: State, status: int, why: str, failed: bool
) -> None:
    process = site.process(state)
    site.table.died(process.pid, status)
    assert site.owner.heard == [(process.pid, why, failed)]
    assert site.table.all == {}
    assert process.sock.fileno() == -1


def test_the_child_of_somebody_else_is_nobodys_end(site: Site) -> None:
    site.table.died(_PID, _KILLED)
    assert site.owner.heard == []


# No total may count what is open in a process that is gone.
def test_its_row_is_cleared_whatever_its_owner_does(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    process = site.process()
    site.board.row(process.row)[Column.TUNNELS] = 7
    monkeypatch.setattr(site.owner, "on_exit", fail)
    with pytest.raises(ZeroDivisionError):
        site.table.died(process.pid, _KILLED)
    assert site.board.total(Column.TUNNELS) == 0


def test_an_end_of_a_channel_alone_is_no_end_of_a_process(site: Site) -> None:
    process = site.process()
    site.far[0].close()
    site.turn()
    assert (site.owner.heard, process.fault) == ([], None)
    assert not site.selector.select(0), "it is not asked again and again"
    site.table.died(process.pid, _EXIT)
    assert len(site.owner.heard) == 1


def test_one_that_says_what_is_not_understood_is_killed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[Process] = []
    monkeypatch.setattr(Process, "kill", lambda process: killed.append(process))
    process = site.process()
    site.far[0].send(b"no message")
    site.turn()
    assert killed == [process]
    [line] = site.said.of("process_unheard")
    assert line["pid"] == process.pid


# An upgrade's new supervisor has workers of the old version, and must not kill them for what they can't know.
def test_a_request_that_a_process_does_not_know_is_not_owed(site: Site) -> None:
    process = site.process()
    process.send(Reload(7))
    process.send(Drain(8))
    wire.send(site.far[0], Unknown(7))
    site.turn()
    assert list(process.owed) == [8]


def test_one_that_ended_in_the_same_batch_of_events_is_not_heard(site: Site) -> None:
    process = site.process()
    site.far[0].send(b"no message")
    [(key, mask)] = site.selector.select(0)
    site.table.died(process.pid, _EXIT)
    key.data(mask)
    assert site.said.of("process_unheard") == []


def test_one_that_can_not_be_started_leaves_nothing_open(site: Site) -> None:
    arguments = partial(WorkerArguments, path="routing.toml")
    assert site.table.start(site.owner, launch.WORKER, arguments, [os.dup(0)]) is None
    [line] = site.said.of("process_not_started")
    assert (line["level"], line["module"]) == ("error", "splicer.worker")
    assert site.table.all == {}
    assert site.started == [launch.WORKER]


# ---- how long to wait after one that never served ----


@given(failures=st.integers(1, 200), longest=st.sampled_from([2.0, 30.0]))
def test_the_pause_doubles_up_to_a_limit(failures: int, longest: float) -> None:
    clock = [1000.0]
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(time, "monotonic", lambda: clock[0])
        backoff = Backoff()
        for _ in range(failures):
            backoff.failed()
        pause = min(longest, 0.1 * 2.0 ** min(failures - 1, 16))
        clock[0] = 1000.0 + pause * 0.99
        assert not backoff.is_over(longest)
        clock[0] = 1000.0 + pause * 1.01
        assert backoff.is_over(longest)
        backoff.reset()
        clock[0] = 1000.0
        assert backoff.is_over(longest)
