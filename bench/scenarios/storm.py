"""Live calls during a storm of new ones: the latency of their frames."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench.scenarios.base import Sample, Scenario, Turn, checked
from bench.scenarios.even import CALLS
from bench.scenarios.frames import SPEECH
from bench.traffic import paced

_RATE = 1000  # new calls a second, without waiting for the answers to earlier ones
_SPEECH_RATE = 300  # new calls a second beside speech
_CLIENTS = 8  # clients of the closed loop, which loads each proxy to its limit
_ENOUGH = 0.99  # share of these calls; if fewer are served, the proxy refused the storm or could not serve it
_MARGIN_SECONDS = 0.2  # seconds by which the storm begins before the counted frames, and ends after them


class Storm(Scenario):
    """p99 of frames there and back: in an open-loop storm, in a closed-loop storm, and without a storm."""

    name = "storm"
    about = f"200 paced calls while {_RATE:,} new ones come each second: p99 of the frames"
    seconds = 1.5
    quick_seconds = 0.5

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure without a storm first, since storms leave connections to close; closed loop only in a full run."""
        yield Sample("quiet_p99_us", "us", *_p99(turn)[:2])
        p99, crowded, rate = _p99(turn, rate=_RATE)
        yield Sample("p99_us", "us", p99, crowded)
        yield Sample("handshakes", "1/s", rate)
        if rate < _ENOUGH * _RATE:
            turn.note(f"only {rate:,.0f} of {_RATE:,} new calls a second came about in the storm")
        if turn.site.quick:
            return
        if paced.unavailable() is None:
            p99, crowded, rate = _p99(turn, "voice", rate=_SPEECH_RATE)
            yield Sample("speech_p99_us", "us", p99, crowded)
            yield Sample("speech_handshakes", "1/s", rate)
        p99, crowded, rate = _p99(turn, clients=_CLIENTS)
        yield Sample("closed_p99_us", "us", p99, crowded)
        yield Sample("closed_handshakes", "1/s", rate)

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds of two loads, or four."""
        return (2 if quick else 4) * (seconds + 0.9)


# Pods and clients share the load's processors: if these are full, pods and clients are late, not the proxy.
def _p99(turn: Turn, mode: str = "even", **storm: float) -> tuple[float, bool, float]:
    """Return p99 of the frames in microseconds, whether the load had no CPU left, and the rate of new calls."""
    with ExitStack() as stack:
        frames = stack.enter_context(turn.client(mode, turn.proxy, SPEECH if mode == "voice" else CALLS))
        frames.wait_ready()
        calls = None
        if storm:
            seconds = turn.seconds + 2 * _MARGIN_SECONDS
            calls = stack.enter_context(turn.client("handshakes", turn.proxy, {**storm, "seconds": seconds}))
            calls.wait_ready()
            calls.go()
            time.sleep(_MARGIN_SECONDS)
        busy = turn.site.pods_cpu()
        frames.go()
        result = checked(turn, frames.result())
        share = (turn.site.pods_cpu() - busy + result["cpu"]) / result["seconds"]
        rate = 0.0
        if calls:
            made = checked(turn, calls.result(), lost=math.inf)
            rate = made["count"] / made["seconds"]
            share += made["cpu"] / made["seconds"]
        return float(result["latency_us"]["p99"]), turn.site.is_crowded(share), rate
