"""The heart beat on the board: it says that the event loop makes progress, not that it is idle."""

from __future__ import annotations

import trio

from splicer.ipc.board import Column

_BEAT = int(Column.BEAT)


class Heartbeat(trio.abc.Instrument):
    """Beats at each step of each task: a loop that has much to do beats on, one that is stuck in a step does not.

    Args:
        row: the process's on the board.
    """

    def __init__(self, row: memoryview[int]) -> None:
        self._row = row

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio before each step of each task."""
        self._row[_BEAT] += 1
