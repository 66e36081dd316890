"""Frames between the steps of other tasks.

Trio runs every task that can run before it looks for events again. In a storm of handshakes that is hundreds of steps,
and all frames would wait for the last of them.
"""

from __future__ import annotations

import trio

from splicer.relay.hub import Hub


class RelayInstrument(trio.abc.Instrument):
    """Gives the hub a turn between two steps when its last one is too long ago.

    Args:
        hub: the worker's.
        beat: its first word grows at each step, so that a loop with much to do is told from one stuck in a step.
    """

    def __init__(self, hub: Hub, beat: memoryview[int]) -> None:
        self._hub = hub
        self._beat = beat

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio before each step of each task."""
        self._beat[0] += 1
        self._hub.turn_if_due(task)
