"""The clock of a worker's Trio run."""

from __future__ import annotations

from time import monotonic

import trio


class MonotonicClock(trio.abc.Clock):
    """The machine's monotonic clock (clock_gettime(2), CLOCK_MONOTONIC).

    Trio's own clock adds a random offset to one like it, in a call more; and a worker asks twenty times for each call.
    """

    current_time = staticmethod(monotonic)

    def start_clock(self) -> None:
        """It runs always."""

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """The seconds until a time."""
        return deadline - monotonic()
