"""Plain HTTP: 32 kept connections, each of which sends its next request after its response."""

from __future__ import annotations

from collections.abc import Iterator

from bench.scenarios.base import Sample, Scenario, Turn, measured


class Http(Scenario):
    """Requests a second for /api/v1/, and requests for each CPU second."""

    name = "http"
    about = "32 kept connections, closed loop of GET /api/v1/…: requests a second"
    quick_seconds = 0.7

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure the rate, the CPU cost, and the client's latency."""
        run = measured(turn, turn.proxy, "http", {"clients": 32})
        yield Sample("rate", "1/s", run.rate, run.load_bound)
        yield Sample("per_cpu", "1/s", run.per_cpu)
        yield Sample("p99_us", "us", float(run.result["latency_us"]["p99"]))
