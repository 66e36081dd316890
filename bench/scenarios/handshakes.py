"""New calls: each of 32 clients hangs up at its 101 and calls again."""

from __future__ import annotations

from collections.abc import Iterator

from bench.scenarios.base import Sample, Scenario, Turn, measured

CALLERS = {"clients": 32}
RATE = 1000  # new calls a second, without waiting for the answers to earlier ones


class Handshakes(Scenario):
    """New calls a second, and new calls for each CPU second.

    A call's cost includes its end. So the CPU time of `per_cpu` is read when all pending work is done, but the rate is
    that of the window; in a closed loop, the few calls that end after the window make up for those that began before.
    """

    name = "handshakes"
    about = "32 clients that call and hang up: calls a second"
    quick_seconds = 0.7

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds of a load, or two."""
        return (1 if quick else 2) * super().lasts(seconds, quick)

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure the rate, the CPU cost, and the client's latency."""
        run = measured(turn, turn.proxy, "handshakes", CALLERS)
        yield Sample("rate", "1/s", run.rate, run.load_bound)
        yield Sample("per_cpu", "1/s", run.per_cpu)
        yield Sample("outside_us", "us", run.outside / run.result["count"] * 1e6)
        yield Sample("p99_us", "us", float(run.result["latency_us"]["p99"]))
        if not turn.site.quick:
            run = measured(turn, turn.proxy, "handshakes", {"rate": RATE})
            yield Sample("paced_per_cpu", "1/s", run.per_cpu)
