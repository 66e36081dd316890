"""Large messages: four tunnels, each of which carries one message at a time, there and back."""

from __future__ import annotations

from collections.abc import Iterator

from bench.scenarios.base import Sample, Scenario, Turn, measured

_SIZES = {"64k": 64 * 1024, "1m": 1024 * 1024}


class Bulk(Scenario):
    """Megabytes a second, one way."""

    name = "bulk"
    about = "4 tunnels, messages of 64 KiB and 1 MiB: MB/s"
    seconds = 1.2
    quick_seconds = 0.5

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure each size; the rate for a CPU second does not depend on the load's speed."""
        for label, size in _SIZES.items():
            run = measured(turn, turn.proxy, "bulk", {"tunnels": 4, "bytes": size})
            megabytes = run.result["bytes"] / 1e6
            yield Sample(f"{label}_mb", "MB/s", megabytes / run.result["seconds"], run.load_bound)
            yield Sample(f"{label}_mb_per_cpu", "MB/s", megabytes / run.settled)

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds of one load for each size."""
        return len(_SIZES) * super().lasts(seconds, quick)
