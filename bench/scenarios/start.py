"""A start: how long it takes, and what a proxy without calls takes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.machine import proportional
from bench.scenarios.base import Sample, Scenario, Turn

_REST_SECONDS = 2.0  # seconds until all that a start leaves to do is done


class Start(Scenario):
    """The time from the exec to the first 200 for a path that the proxy answers itself; the memory of the idle proxy.

    It has all processors, as where it is deployed; in every other scenario it has one.
    """

    name = "start"
    about = "a start: time to the first answer, memory of the idle proxy"
    fresh = True

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Start the peer once."""
        began = time.monotonic()
        with turn.peer.running(turn.site.job(), turn.site.processors.allowed) as proxy:
            yield Sample("ms", "ms", 1000 * (time.monotonic() - began))
            time.sleep(_REST_SECONDS)
            yield Sample("pss_mb", "MB", proportional(proxy.pids()) / 1e6)

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds."""
        return _REST_SECONDS + 1.0
