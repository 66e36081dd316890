"""The heartbeat on the board: it shows that the event loop makes progress, even if it is never idle."""

from __future__ import annotations

import os

import trio

from splicer.ipc.board import Column

_BEAT = int(Column.BEAT)


# On a processor that both use, the kernel lets this process finish its slice of 3 ms while a worker's frames wait:
# somebody who looked at 1,000 calls made the p99 of their frames twice as long.
class Heartbeat(trio.abc.Instrument):
    """Beats at each step of each task: a busy loop goes on beating, one that is stuck in a step does not.

    It is for processes that carry no frames: between two steps they let those run that do (sched_yield(2)).

    Args:
        row: the process's row on the board.
    """

    def __init__(self, row: memoryview[int]) -> None:
        self._row = row

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio before each step of each task."""
        self._row[_BEAT] += 1
        os.sched_yield()
