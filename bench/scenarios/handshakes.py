"""New calls: 32 clients, each of which hangs up at its 101 and calls anew."""

from __future__ import annotations

from collections.abc import Iterator

from bench.scenarios.base import Sample, Scenario, Turn, measured

CALLERS = {"clients": 32}


class Handshakes(Scenario):
    """New calls a second, and for each CPU second.

    A call's price includes its end. So the CPU of `per_cpu` is read when all that was under way is done, while the
    rate is that of the window; in a closed loop the few calls that end after it are those that began before it.
    """

    name = "handshakes"
    about = "32 clients that call and hang up: calls a second"
    quick_seconds = 0.7

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Rate, price, and how long a client waits."""
        run = measured(turn, turn.proxy, "handshakes", CALLERS)
        yield Sample("rate", "1/s", run.rate, run.load_bound)
        yield Sample("per_cpu", "1/s", run.per_cpu)
        yield Sample("outside_us", "us", run.outside / run.result["count"] * 1e6)
        yield Sample("p99_us", "us", float(run.result["latency_us"]["p99"]))
