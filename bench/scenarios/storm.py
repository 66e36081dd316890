"""Live calls in a storm of new ones: what becomes of the frames' latency."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench.scenarios.base import Sample, Scenario, Turn, checked
from bench.scenarios.frames import CALLS

_RATE = 1000  # new calls a second, whether earlier ones have been answered or not
_CLIENTS = 8  # of the closed loop, which loads every proxy as much as that proxy can take
_MARGIN = 0.2  # seconds that the storm begins before the frames that are counted, and ends after them


class Storm(Scenario):
    """p99 of frames there and back: in an open-loop storm, in a closed-loop one, and in none."""

    name = "storm"
    about = f"200 paced calls while {_RATE:,} new ones come each second: p99 of the frames"
    seconds = 1.5
    quick_seconds = 0.5

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Quiet first: the storms leave connections to be cleared away. The closed one only in a full run."""
        yield Sample("quiet_p99_us", "us", _p99(turn)[0])
        p99, rate = _p99(turn, rate=_RATE)
        yield Sample("p99_us", "us", p99)
        yield Sample("handshakes", "1/s", rate)
        if turn.site.quick:
            return
        p99, rate = _p99(turn, clients=_CLIENTS)
        yield Sample("closed_p99_us", "us", p99)
        yield Sample("closed_handshakes", "1/s", rate)

    def lasts(self, seconds: float, quick: bool) -> float:
        """Two loads, or three."""
        return (2 if quick else 3) * (seconds + 0.9)


def _p99(turn: Turn, **storm: float) -> tuple[float, float]:
    """p99 of the frames in microseconds, and how many new calls a second came about."""
    with ExitStack() as stack:
        frames = stack.enter_context(turn.client("frames", turn.proxy, CALLS))
        frames.wait_ready()
        calls = None
        if storm:
            seconds = turn.seconds + 2 * _MARGIN
            calls = stack.enter_context(turn.client("handshakes", turn.proxy, {**storm, "seconds": seconds}))
            calls.wait_ready()
            calls.go()
            time.sleep(_MARGIN)
        frames.go()
        result = checked(turn, frames.result())
        rate = 0.0
        if calls:
            made = checked(turn, calls.result(), lost=math.inf)
            rate = made["count"] / made["seconds"]
        return float(result["latency_us"]["p99"]), rate
