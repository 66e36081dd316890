"""How many workers share what is limited."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from splicer.ipc.board import Board, Column
from splicer.worker.serving_workers import ServingWorkers


async def test_those_that_have_a_slot(autojump_clock: MockClock) -> None:
    board = Board()
    workers = ServingWorkers(board)
    assert workers() == 1, "whoever asks serves"
    for row, slot in ((3, 1), (7, 2), (8, 0), (9, 2)):  # a spare, and two that have the same for a moment
        board.row(row)[Column.SLOT] = slot
    assert workers() == 1
    await trio.sleep(1)
    assert workers() == 2
    board.clear(3)
    await trio.sleep(1)
    assert workers() == 1
