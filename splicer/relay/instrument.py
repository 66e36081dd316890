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
        # Trio calls it before each step of each task: a method of this class would only call it.
        self.before_task_step = relay.count_steps(beat)  # type: ignore[method-assign, assignment]
