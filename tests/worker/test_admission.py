"""Who comes in at the limit that all workers share, and who makes room."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from attrs import define
from hypothesis import assume, given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.ipc.board import Board, Column
from splicer.session.context import StubStatus
from splicer.worker import admission as module
from splicer.worker.admission import Admission

LIMIT = 1000
INTERVAL = 0.1  # seconds


async def regularly(admission: Admission) -> None:
    """What a worker does."""
    while True:
        await trio.sleep(INTERVAL)
        admission.share_room()


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


@define
class Idle:
    """Connections that make room, and are gone at once."""

    counts: StubStatus
    ended: int = 0

    def __len__(self) -> int:
        return self.counts.waiting

    def make_room(self) -> bool:
        if not self.counts.waiting:
            return False
        self.counts.waiting -= 1
        self.ended += 1
        return True


class Worker:
    """A worker's admission, and its connections."""

    def __init__(self, board: Board, number: int, counts: StubStatus) -> None:
        self.told: list[int] = []
        self.counts = counts
        self.idle = Idle(counts)
        self.admission = Admission(board, number, self.told.append)
        limits = SimpleNamespace(connections=LIMIT)
        context = SimpleNamespace(counts=counts, idle=self.idle, rules=SimpleNamespace(limits=limits))
        self.admission.context = cast("Any", context)
        self._row = board.row(number)

    def publish(self) -> None:
        row = self._row
        row[Column.READING], row[Column.WRITING] = self.counts.reading, self.counts.writing
        row[Column.WAITING] = self.counts.waiting


def worker(board: Board, number: int = 1, **counts: int) -> Worker:
    made = Worker(board, number, StubStatus(**counts))
    made.publish()
    return made


@pytest.mark.parametrize("elsewhere", [300, 399, 400, 401, 464])
async def test_the_limit_is_that_of_all_workers_together(board: Board, elsewhere: int) -> None:
    one = worker(board, reading=100, writing=500)
    board.row(7)[Column.WRITING] = elsewhere
    assert one.admission.over() == elsewhere - 400


async def test_near_the_limit_each_look_is_a_new_one(board: Board, autojump_clock: MockClock) -> None:
    one = worker(board, writing=990)
    assert one.admission.over() == -10
    board.row(7)[Column.READING] = 10
    assert one.admission.over() == 0
    board.row(7)[Column.READING] = 9
    assert one.admission.over() == -1


async def test_far_from_it_an_old_look_will_do_for_a_moment(board: Board, autojump_clock: MockClock) -> None:
    one = worker(board, writing=100)
    assert one.admission.over() == -900
    board.row(7)[Column.READING] = 2000
    await trio.sleep(0.02)
    assert one.admission.over() == 1100


async def test_so_many_may_ask_above_the_limit(board: Board) -> None:
    one = worker(board, writing=LIMIT + module._ABOVE - 1)
    assert one.admission.may_ask()
    one.counts.reading += 1
    assert not one.admission.may_ask()


async def test_above_that_who_is_idle_makes_room(board: Board) -> None:
    one = worker(board, writing=LIMIT + module._ABOVE - 1, waiting=1)
    assert one.admission.may_ask()
    assert one.counts.waiting == 0


async def test_nobody_makes_room_for_who_may_ask_anyway(board: Board) -> None:
    one = worker(board, writing=LIMIT - 5, waiting=5)
    assert one.admission.may_ask()
    assert one.counts.waiting == 5


async def test_a_request_to_a_pod_takes_the_place_of_an_idle_connection(board: Board) -> None:
    one = worker(board, writing=LIMIT - 1, waiting=1)
    one.counts.reading += 1
    assert one.admission.may_use_pod()
    assert one.counts.waiting == 0
    one.counts.reading += 1
    assert not one.admission.may_use_pod()


async def test_below_the_limit_again_nobody_needs_to_make_room(board: Board) -> None:
    one = worker(board, writing=LIMIT - 2, waiting=1)
    one.counts.reading += 1
    assert one.admission.may_use_pod()
    assert one.counts.waiting == 1


@pytest.mark.parametrize(("idle", "may"), [(0, False), (1, True), (2, True)])
async def test_a_request_to_a_pod_may_count_on_who_is_idle_elsewhere(board: Board, idle: int, may: bool) -> None:
    one = worker(board, reading=1, writing=100)
    other = worker(board, 2, writing=LIMIT - 100 - idle, waiting=idle)
    assert one.admission.may_use_pod() is may
    assert other.counts.waiting == idle


async def test_idle_connections_make_room_for_those_of_other_workers(
    board: Board, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    one, other = worker(board, writing=500), worker(board, 2, writing=450, waiting=100)
    for each in (one, other):
        nursery.start_soon(regularly, each.admission)
    await trio.sleep(INTERVAL * 1.5)
    other.publish()
    assert other.counts.waiting == 50
    await trio.sleep(1)
    assert other.counts.waiting == 50
    assert (one.told, other.told) == ([], [50])


@given(idle=st.lists(st.integers(0, 50), min_size=1, max_size=8), busy=st.integers(0, 1100))
def test_together_they_make_as_much_room_as_is_needed_and_little_more(idle: list[int], busy: int) -> None:
    board = Board()
    over = sum(idle) + busy - LIMIT
    assume(over <= module._ABOVE)

    async def main() -> list[Worker]:
        workers = [worker(board, number, waiting=count) for number, count in enumerate(idle, 1)]
        board.row(99)[Column.WRITING] = busy
        async with trio.open_nursery() as nursery:
            for each in workers:
                nursery.start_soon(regularly, each.admission)
            await trio.sleep(INTERVAL * 1.5)
            nursery.cancel_scope.cancel()
        return workers

    left = sum(each.counts.waiting for each in trio.run(main, clock=MockClock(autojump_threshold=0)))
    wanted = min(sum(idle), max(0, over))
    assert wanted <= sum(idle) - left <= wanted + len(idle)
    board.close()


async def test_a_limit_that_was_lowered_is_reached_in_steps(
    board: Board, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    one = worker(board, waiting=3 * LIMIT)
    nursery.start_soon(regularly, one.admission)
    await trio.sleep(INTERVAL * 1.5)
    assert one.counts.waiting == 3 * LIMIT - module._ABOVE
    await trio.sleep(10)
    assert one.counts.waiting == LIMIT


async def test_what_made_room_is_told_of_now_and_then(
    board: Board, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    one = worker(board, waiting=100)
    nursery.start_soon(regularly, one.admission)
    for _ in range(40):
        one.idle.make_room()
        await trio.sleep(0.25)
    assert one.told == [1]
    await trio.sleep(1)
    assert one.told == [1, 39]
