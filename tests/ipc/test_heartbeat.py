"""The heart beats while the loop makes progress, however long it takes until all have had their turn."""

from __future__ import annotations

import os

import pytest
import trio

from splicer.ipc.board import Board, Column
from splicer.ipc.heartbeat import Heartbeat


async def test_it_beats_between_the_steps_of_one_round() -> None:
    board = Board()
    row = board.row(3)
    seen: list[int] = []

    async def step() -> None:
        seen.append(row[Column.BEAT])

    beat = Heartbeat(row)
    trio.lowlevel.add_instrument(beat)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(step)
    trio.lowlevel.remove_instrument(beat)
    assert len(set(seen)) == 20
    assert board.total(Column.BEAT) == row[Column.BEAT] >= 20
    board.close()


async def test_a_step_that_does_not_end_does_not_beat() -> None:
    board = Board()
    row = board.row(3)
    beat = Heartbeat(row)
    trio.lowlevel.add_instrument(beat)
    await trio.lowlevel.checkpoint()
    before = row[Column.BEAT]
    sum(range(100_000))
    assert row[Column.BEAT] == before > 0
    trio.lowlevel.remove_instrument(beat)
    board.close()


async def test_whoever_carries_frames_may_run_between_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    yields: list[int] = []
    monkeypatch.setattr(os, "sched_yield", lambda: yields.append(1))
    board = Board()
    beat = Heartbeat(board.row(3))
    trio.lowlevel.add_instrument(beat)
    for _ in range(5):
        await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(beat)
    assert len(yields) >= 5
    board.close()
