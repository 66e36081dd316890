"""Measure a call's counters and a frame's journal, each in a loop, against the CPU time of a whole call and frame.

    python -m bench.parts [--repeat 5] [--seconds 2]

Takes half a minute on an idle machine. Neither can be switched off, so each is run by itself: all the code that
counts a call, and the one store in shared memory before each fill of a pipe. For the cost of any other change use
`bench.pairs`.

The law: counting takes at most 5 % of a call's CPU. If it is broken, the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import trio

from bench.arguments import Parser
from bench.peers.local import Local
from bench.peers.splicer import Splicer
from bench.progress import progress
from bench.run import Options, Run
from bench.scenarios.even import Even
from bench.scenarios.handshakes import Handshakes
from splicer.model import Endpoint
from splicer.observe.families import keep_in
from splicer.observe.metrics import Metrics
from splicer.record import AttemptOutcome, Record
from splicer.supervisor.metrics_dir import MetricsDirectory
from splicer.upstream.status import EndpointStates
from splicer.vault.journal import Journal

_MAX_SHARE = 0.05
_BATCHES = 100
_BATCH = 200
_MINE = "splicer"


def main(arguments: Sequence[str] | None = None) -> int:
    """See above.

    Returns:
        The exit code.
    """
    parser = Parser(
        prog="python -m bench.parts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5, help="rounds of whole calls and frames (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round (2)")
    options = parser.parse_args(arguments)
    counted, stored = trio.run(_counting), _storing()
    call, frame = _whole(options.repeat, options.seconds)
    for name, lasted in counted.items():
        _say(name, lasted)
    counting = sum(counted.values())
    _say("counting a call, together", counting, f"{counting / call:.1%} of a call's {call * 1e6:.0f} us")
    _say("the journal's store", stored, f"{stored / frame:.1%} of a frame's {frame * 1e6:.1f} us")
    kept = counting <= _MAX_SHARE * call
    sys.stdout.write(f"counting takes at most {_MAX_SHARE:.0%} of a call: {'kept' if kept else 'BROKEN'}\n")
    return 0 if kept else 1


def _say(name: str, seconds: float, remark: str = "") -> None:
    sys.stdout.write(f"{name:38}{seconds * 1e6:8.2f} us{': ' if remark else ''}{remark}\n")


# ---- the parts ----


async def _counting() -> dict[str, float]:
    """Seconds of each step: medians over batches, all steps in turns; in Trio, since some read its clock."""
    counts = MetricsDirectory.make()
    if counts is None:
        sys.exit("there is no room for the files of the metrics")
    try:
        keep_in(Path(counts.path), 1)
        metrics, endpoints, record = Metrics(), EndpointStates(), _record()
        return _timed(
            {
                "Metrics.tunnel_opened": partial(metrics.tunnel_opened, record),
                "Metrics.tunnel_over": partial(metrics.tunnel_over, record),
                "EndpointStates.learn": partial(endpoints.learn, record.attempts[0]),
                "one answer from the resolver's cache": partial(metrics.resolver.count, "cache_hits"),
            }
        )
    finally:
        counts.remove()


def _storing() -> float:
    """Seconds of a store, including the call of the function around it."""
    journal = Journal()
    lasted = _timed({"store": partial(journal.words.__setitem__, 7, 1 << 40)})["store"]
    journal.close()
    return lasted


def _timed(steps: dict[str, Callable[[], object]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(_BATCHES):
        for name, step in steps.items():
            begun = time.thread_time()
            for _ in range(_BATCH):
                step()
            times[name].append((time.thread_time() - begun) / _BATCH)
    return {name: median(its) for name, its in times.items()}


def _record() -> Record:
    """A typical call: one attempt, which succeeded."""
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
        attempts=[AttemptOutcome("pod", str(where), pod=where.pod, resolve=0.0001, connect=0.0004, handshake=0.002)],
        to_pod=160,
        to_client=160,
        closer="client",
        close_reason="eof",
        ended=60.0,
    )


# ---- the whole ----


def _whole(repeat: int, seconds: float) -> tuple[float, float]:
    """CPU seconds of a call and of a frame: medians."""
    options = Options([Handshakes(), Even()], [Local(_MINE, _MINE, Splicer)], repeat, seconds)
    run = Run(options, bar := progress())
    try:
        run.execute()
    finally:
        bar.end()
    report = run.report()
    calls, cpu = report.figure("handshakes.per_cpu", _MINE), report.figure("even.cpu_us", _MINE)
    if calls is None or cpu is None:
        sys.exit(f"splicer could not be measured: {'; '.join(one.reason for one in report.skipped)}")
    return 1 / calls.median, cpu.median / 1e6


if __name__ == "__main__":
    sys.exit(main())
