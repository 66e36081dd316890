"""As many frames as possible: each of 100 tunnels sends its next frame when the last one has come back."""

from __future__ import annotations

from collections.abc import Iterator

from bench.scenarios.base import Sample, Scenario, Turn, measured


class Saturate(Scenario):
    """Frames a second, one way, at full CPU."""

    name = "saturate"
    about = "100 tunnels, closed loop of 160 bytes: frames a second"
    quick_seconds = 0.7

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure the rate; the client counts a frame and its echo as two."""
        run = measured(turn, turn.proxy, "saturate", {"tunnels": 100, "bytes": 160})
        yield Sample("rate", "1/s", run.rate, run.load_bound)
        yield Sample("per_cpu", "1/s", run.per_cpu)
