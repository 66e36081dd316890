"""Live calls, evenly spread: 200 tunnels, 50 frames a second each, and each frame comes back."""

from __future__ import annotations

from collections.abc import Iterator

from bench.scenarios.base import Result, Sample, Scenario, Turn, measured
from bench.site import Site

CALLS = {"tunnels": 200, "rate": 50, "bytes": 320}  # 20 ms of 8 kHz, 16 bit

_PERCENTILES = ("p50", "p99", "p999")


class Even(Scenario):
    """The proxy's CPU time for a frame, and its added latency there and back."""

    name = "even"
    about = "200 calls with evenly spread frames that are echoed: CPU for a frame, added latency"
    seconds = 3.0
    quick_seconds = 0.8

    def direct(self, site: Site, seconds: float) -> Iterator[Sample]:
        """Measure clients and pods without a proxy."""
        with site.client("even", site.pod, {**CALLS, "seconds": seconds}, direct=True) as client:
            client.wait_ready()
            client.go()
            yield from _latencies(client.result(), crowded=False)

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure the latencies with the peer, and their excess over those without it (below zero: less than noise)."""
        run = measured(turn, turn.proxy, "even", CALLS)
        yield Sample("cpu_us", "us", run.cpu / run.result["count"] * 1e6)
        for own in _latencies(run.result, crowded=run.crowded):
            yield own
            yield Sample(f"added_{own.name}", "us", own.value - turn.direct[own.name], run.crowded)


def _latencies(result: Result, *, crowded: bool) -> Iterator[Sample]:
    for percentile in _PERCENTILES:
        yield Sample(f"{percentile}_us", "us", float(result["latency_us"][percentile]), crowded)
