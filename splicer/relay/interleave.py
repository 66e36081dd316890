"""Frames between the steps of other tasks.

Trio runs every task that can run before it looks for events again. In a storm of handshakes that is hundreds of steps,
and all frames would wait for the last of them.
"""

from __future__ import annotations

import trio

from splicer.relay.hub import Hub


class Interleave(trio.abc.Instrument):
    """Gives the hub a turn between two steps when its last one is too long ago.

    Args:
        hub: the worker's.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio before each step of each task."""
        self._hub.turn_if_due(task)
