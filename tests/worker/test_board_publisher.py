"""A worker's numbers on the board, and which worker has enough connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.ipc.board import Board, Column
from splicer.session.context import ConnectionState, StubStatus
from splicer.worker.board_publisher import BoardPublisher
from splicer.worker.client_counts import ClientCounts


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


def publisher(board: Board, number: int = 1, then: Callable[[], None] = lambda: None, **counts: int) -> BoardPublisher:
    """Of a worker that has no tunnel."""
    pipes = SimpleNamespace(idle=3, in_use=2)
    hub, link = SimpleNamespace(tunnels=4, pipes=pipes), SimpleNamespace(connected=True)
    metrics = SimpleNamespace(late=lambda seconds: None)
    shown = BoardPublisher(board, number, cast("Any", hub), cast("Any", link), cast("Any", metrics))
    shown.serve(then)
    counted = StubStatus(**counts)
    shown.context = cast("Any", SimpleNamespace(counts=counted, waiting={1, 2}, lingering=2, idle=[]))
    return shown


def test_others_see_all_of_its_numbers(board: Board) -> None:
    publisher(board, accepted=1, handled=2, requests=3, reading=4, writing=5, waiting=6).publish()
    assert board.others(2) == [1, 2, 3, 4, 5, 6]
    assert board.total(Column.EXCHANGES) == 2
    assert [board.total(column) for column in (Column.TUNNELS, Column.PIPES_POOLED, Column.PIPES_PARKED)] == [4, 3, 2]
    assert board.total(Column.VAULT) == 1
    assert board.asking == 4 + 6 - 2


async def test_who_is_alone_never_has_enough(board: Board) -> None:
    worker = publisher(board, writing=10_000)
    board.row(7)[Column.WRITING] = 1  # of one that accepts no more
    assert not worker.has_enough()


@pytest.mark.parametrize(
    ("own", "others", "enough"),
    [
        (1, [0], False),
        (2, [0], False),
        (3, [0], True),
        (8, [0, 0, 0], True),
        (100, [100, 100, 100], False),
        (110, [100, 100, 100], False),
        (120, [100, 100, 100], True),
        (90, [100, 0], True),
        (0, [0], False),
    ],
)
async def test_who_has_clearly_more_than_the_others_has_enough(
    board: Board, own: int, others: list[int], enough: bool
) -> None:
    worker = publisher(board, reading=own)
    for number, count in enumerate(others, 2):
        board.row(number)[Column.LISTENING] = 1
        board.row(number)[Column.WAITING] = count
    assert worker.has_enough() is enough


@given(counts=st.lists(st.integers(0, 10_000), min_size=1, max_size=20))
def test_somebody_always_has_room(counts: list[int]) -> None:
    board = Board()
    workers = [publisher(board, number, writing=count) for number, count in enumerate(counts, 1)]

    async def ask() -> list[bool]:
        for worker in workers:
            worker.row[Column.LISTENING] = 1
            worker.publish()
        return [worker.has_enough() for worker in workers]

    enough = trio.run(ask)
    assert not enough[counts.index(min(counts))]
    board.close()


async def test_what_others_have_is_looked_at_again(board: Board, autojump_clock: MockClock) -> None:
    worker = publisher(board, writing=100)
    board.row(7)[Column.LISTENING] = 1
    assert worker.has_enough()
    board.row(7)[Column.WRITING] = 100
    await trio.sleep(0.02)
    assert not worker.has_enough()


async def test_a_worker_is_seen_ten_times_a_second(board: Board, autojump_clock: MockClock) -> None:
    times = list[int]()
    worker = publisher(board, then=lambda: times.append(board.total(Column.TUNNELS)))
    with trio.move_on_after(1.05):
        await worker.run()
    assert times == [4] * 11, "what comes then sees the new numbers"


def _times(board: Board, **counts: int) -> tuple[BoardPublisher, list[float]]:
    """A worker of which nobody waits, and when it was seen."""
    times = list[float]()
    worker = publisher(board, then=lambda: times.append(round(trio.current_time() - began, 6)), **counts)
    worker.context.waiting.clear()  # type: ignore[union-attr]
    began = trio.current_time()
    return worker, times


async def test_while_nothing_changes_it_is_seen_once_a_second(board: Board, autojump_clock: MockClock) -> None:
    worker, times = _times(board, writing=3)
    with trio.move_on_after(3.5):
        await worker.run()
    assert times == [0.0, 0.1, 1.1, 2.1, 3.1]


async def test_after_each_change_it_is_seen_soon(board: Board, autojump_clock: MockClock) -> None:
    worker, times = _times(board)
    assert worker.context is not None
    worker.context.counts = counts = ClientCounts(worker.publish_soon)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        await trio.sleep(0.52)
        counts.enter(ConnectionState.WRITING)
        await trio.sleep(0.05)
        counts.enter(ConnectionState.WRITING)  # it is on its way already
        await trio.sleep(0.4)
        assert board.total(Column.WRITING) == 2
        counts.leave(ConnectionState.WRITING)
        await trio.sleep(0.2)
        assert board.total(Column.WRITING) == 1
        await trio.sleep(0.88)
        nursery.cancel_scope.cancel()
    assert times == [0.0, 0.1, 0.62, 0.72, 1.07, 1.17]


@pytest.mark.parametrize("who", ["waiting", "idle"])
async def test_who_waits_or_is_idle_is_looked_after_ten_times_a_second(
    board: Board, autojump_clock: MockClock, who: str
) -> None:
    worker, times = _times(board)
    setattr(worker.context, who, [1])
    with trio.move_on_after(1.05):
        await worker.run()
    assert len(times) == 11


async def test_a_spare_that_gets_a_slot_is_a_worker_at_once(board: Board, autojump_clock: MockClock) -> None:
    spare = publisher(board)
    spare.serve()
    times = list[float]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spare.run)
        await trio.sleep(0.7)
        began = trio.current_time()
        spare.serve(lambda: times.append(trio.current_time() - began))
        await trio.sleep(0.25)
        nursery.cancel_scope.cancel()
    assert times == pytest.approx([0.0, 0.1, 0.2])


async def test_a_spare_sleeps_longer_and_does_nothing_more(board: Board, autojump_clock: MockClock) -> None:
    spare = publisher(board)
    spare.serve()
    lags = list[float]()
    spare._metrics = cast("Any", SimpleNamespace(late=lags.append))
    with trio.move_on_after(10.2):
        await spare.run()
    assert len(lags) == 10, "its heart beats at least once a second"
