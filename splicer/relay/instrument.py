"""Moving frames between the steps of other tasks.

Trio runs every runnable task before it polls for events again. In a storm of handshakes that is hundreds of steps, and
all frames would wait for the last of them.
"""

from __future__ import annotations

from typing import Any

import trio

from splicer.relay.api import Relay


class RelayInstrument(trio.abc.Instrument):
    """Gives the relay a turn between two steps if its last turn was too long ago.

    Args:
        relay: the worker's relay.
        beat: its first word grows at each step, which distinguishes a busy loop from one that is stuck in a step.
    """

    def __init__(self, relay: Relay[Any], beat: memoryview[int]) -> None:
        self._relay = relay
        self._beat = beat

    def before_task_step(self, _task: trio.lowlevel.Task) -> None:
        """Called by Trio before each step of each task."""
        self._beat[0] += 1
        self._relay.turn_if_due()
