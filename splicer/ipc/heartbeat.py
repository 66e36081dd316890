"""The heartbeat on the board: it shows that the event loop makes progress, even if it is never idle."""

from __future__ import annotations

import trio

from splicer.ipc.board import Column

_BEAT = int(Column.BEAT)


class Heartbeat(trio.abc.Instrument):
    """Beats at each step of each task: a busy loop goes on beating, one that is stuck in a step does not.

    Args:
        row: the process's row on the board.
    """

    def __init__(self, row: memoryview[int]) -> None:
        self._row = row

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio before each step of each task."""
        self._row[_BEAT] += 1
