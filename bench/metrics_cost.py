"""What counting costs a handshake: splicer with its metrics and without, measured in turns in one run.

    python bench/metrics_cost.py [--rounds 12] [--seconds 1.5] [--clients 32]

From the checkout, with what its tests need installed; a minute, on a machine that has nothing else to do.

- Whole edges with one worker, whose clients hang up as soon as they have their 101: handshakes a second, and the CPU
  time of the worker for each. "Without" is the same splicer with no-ops for all that counts: see uncounted/.
- The counting alone, in a loop: all that a handshake and the end of its tunnel pass through.

The law: it costs at most 5 %, be it of the rate or of CPU time. It is broken if a median says so: then the exit code
is 1.
"""

# ruff: noqa: E402 - the checkout has to be on the path before its modules can be imported
from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles

import trio

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.edges import ROUTE, Round, in_turns, load, pods, started, tell
from splicer.model import AttemptOutcome, Endpoint, HandshakeParts, Record
from splicer.observe.metrics import Metrics, keep_in
from splicer.supervisor.metrics_dir import MetricsDirectory
from splicer.upstream.status import EndpointStates
from tests.e2e.fleet import several
from tests.e2e.site import Site, free_port

_LAW = 0.05
_BATCHES = 100
_BATCH = 200


# ---- whole edges ----


def _measured(rounds: int, seconds: float, clients: int) -> list[tuple[Round, Round]]:
    """Pairs of rounds, with the metrics and without."""
    site = Site(pods=2)
    place = site.take()
    admins = [free_port(), free_port()]
    texts = [several(site, 1, admin=f"127.0.0.1:{port}", routes=ROUTE) for port in admins]
    with ExitStack() as stack:
        stack.enter_context(pods(place))
        counted = started(stack, site, texts[0])
        uncounted = started(stack, site, texts[1], Path(__file__).parent / "uncounted")
        pairs = in_turns(partial(load, "handshakes", clients, seconds, place), counted, uncounted, rounds)
        told = [_tunnels(port) for port in admins]
    if told[0] < sum(one.count for one, _ in pairs) or told[1] != 0:
        sys.exit(f"nothing is measured: the two have counted {told[0]:,.0f} and {told[1]:,.0f} tunnels")
    return pairs


def _tunnels(port: int) -> float:
    """How many tunnels an edge has counted."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("splicer_tunnels_total{"))


# ---- the counting alone ----


async def _alone() -> dict[str, float]:
    """Seconds of each step: medians over batches, all steps in turns."""
    counts = MetricsDirectory.make()
    if counts is None:
        sys.exit("there is no room for the files of the metrics")
    try:
        keep_in(Path(counts.path), 1)
        metrics, endpoints, record = Metrics(), EndpointStates(), _record()
        steps: dict[str, Callable[[], None]] = {
            "Metrics.tunnel_opened": partial(metrics.tunnel_opened, record),
            "Metrics.tunnel_over": partial(metrics.tunnel_over, record),
            "EndpointStates.learn": partial(endpoints.learn, record),
            "one answer from the resolver's cache": partial(metrics.resolver.count, "cache_hits"),
        }
        times: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(_BATCHES):
            for name, step in steps.items():
                times[name].append(_batch(step))
        return {name: median(its) for name, its in times.items()}
    finally:
        counts.remove()


def _batch(step: Callable[[], None]) -> float:
    begun = time.thread_time()
    for _ in range(_BATCH):
        step()
    return (time.thread_time() - begun) / _BATCH


def _record() -> Record:
    """A call as most are: one attempt, which served."""
    where = Endpoint("agent-1", "127.0.0.1", 8000)
    return Record(
        id="0123456789abcdef",
        client="127.0.0.1",
        started=0.0,
        method="GET",
        route="bench",
        upstream="pod",
        endpoint=where,
        protocol="websocket",
        status=101,
        attempts=[AttemptOutcome("pod", str(where), pod=where.pod)],
        parts=HandshakeParts(resolve=0.0001, connect=0.0004, handshake=0.002),
        to_pod=160,
        to_client=160,
        closer="client",
        close_reason="eof",
        ended=60.0,
    )


# ---- what comes of it ----


def _spread(ratios: list[float]) -> str:
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="pairs of them, at least 2")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a round")
    parser.add_argument("--clients", type=int, default=32)
    asked = parser.parse_args()
    if asked.rounds < 2:
        parser.error("--rounds: at least 2 are needed")
    steps = trio.run(_alone)
    pairs = _measured(asked.rounds, asked.seconds, asked.clients)

    tell(f"whole edges: medians of {asked.rounds} pairs of rounds of {asked.seconds:g} s, {asked.clients} clients")
    tell(f"  {'':9}{'handshakes/s':>24}{'CPU of the worker for each':>30}")
    for label, rounds in zip(("with", "without"), zip(*pairs, strict=True), strict=True):
        rate, cpu = median(r.rate for r in rounds), median(r.worker for r in rounds)
        tell(f"  {label:9}{rate:24,.0f}{cpu * 1e6:27.1f} us")
    rates = [one.rate / other.rate for one, other in pairs]
    times = [one.worker / other.worker for one, other in pairs]
    tell(f"  {'ratio':9}{_spread(rates):>24}{_spread(times):>30}  of pairs: median (quartiles)")

    tell("the counting alone, CPU")
    for name, lasted in steps.items():
        tell(f"  {name:38}{lasted * 1e6:8.2f} us")
    whole, handshake = sum(steps.values()), median(other.worker for _, other in pairs)
    tell(f"  {'together':38}{whole * 1e6:8.2f} us: {whole / handshake:.1%} of a handshake without it")

    cost, more = 1 - median(rates), median(times) - 1
    kept = max(cost, more) <= _LAW
    tell(f"cost: {cost:.2%} of the rate, {more:.2%} more CPU; at most {_LAW:.0%}: {'kept' if kept else 'BROKEN'}")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
