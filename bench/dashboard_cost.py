"""Measure what a dashboard that somebody looks at costs, with 1,000 live calls: with a viewer and without, in turns.

    python -m bench.dashboard_cost [--pairs 10] [--seconds 4] [--calls 1000] [--rate 10] [--workers 1] [--browser]

One edge, one load, rounds A B, B A …; each round opens its calls anew. Calls are those of `frames`, with fewer frames.
The viewer is a program that reads /events as the page does; with --browser it is the page itself, in a headless
Chromium on the load's processors, and the page's drawing is measured in each of its rounds:

- drawn: how often in a second the page has drawn something new (its `performance.measure` entries, User Timing), and
  how long that took;
- the CPU time of its main thread, and what that is for one drawing: unlike the figures above, other programs don't
  change these much;
- animation frames in a second, and tasks that kept the page from drawing for over 50 ms (Long Tasks API).

The CPU time is that of each process by its clock. The laws: a viewer takes less than 5 % of a core, of the admin
process and of all workers together; and the p99 of the frames is at most 10 % more meanwhile. If a law is surely
broken, the exit code is 1. The browser's own CPU is told, and is in no law: but on few processors it delays the load.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from statistics import median

from attrs import frozen

from bench.arguments import Parser, seconds
from bench.interrupt import INTERRUPTED, interruptible
from bench.interval import LEAST_PAIRS, Interval, ratio_of
from bench.machine import cpu_seconds
from bench.peers.base import PeerFailed
from bench.peers.process import session_of
from bench.peers.splicer import ROOT, Splicer
from bench.peers.template import home_of
from bench.progress import progress
from bench.site import Site, opened
from bench.traffic.driver import TrafficFailed
from bench.viewer import NoBrowser, Page, Reader, browser

_MOST_CPU = 0.05  # of a core
_MOST_P99 = 1.10  # the ratio that the p99 of the frames may have
_BYTES = 320  # of a frame
_SETTLE_SECONDS = 1.5  # until a stream's first, whole answer is over
_ROLES = {"admin": r"splicer: admin", "workers": r"splicer: worker \d+"}
_PAGE = {
    "cpu": "CPU of its main thread, % of a core",
    "cpu_ms": "the same in ms for a drawing",
    "drawn": "drawings a second",
    "draw_ms": "ms for one (median)",
    "longest_ms": "ms for the longest drawing or task",
    "tasks": "tasks over 50 ms a second",
    "frames": "animation frames a second",
    "rows": "rows of the table of calls",
    "nodes": "elements of the page",
}


@frozen
class Round:
    """What was measured in one round.

    Args:
        cpu: by role, the share of a core.
        p99_us: of the frames, one way.
        viewer: what the viewer has measured; {}: nobody has looked.
        missing: frames that never came.
    """

    cpu: Mapping[str, float]
    p99_us: float
    viewer: Mapping[str, float]
    missing: int


class Rounds:
    """Measures rounds on one edge.

    Args:
        site: of the run.
        proxy: the edge.
        options: of the command line.
        viewer: makes a viewer.
    """

    def __init__(
        self, site: Site, proxy: Splicer, options: argparse.Namespace, viewer: Callable[[], Reader | Page]
    ) -> None:
        self._site = site
        self._proxy = proxy
        self._options = options
        self._viewer = viewer

    def measure(self, *, looked: bool) -> Round:
        """One round: open the calls, look or don't, let them talk."""
        options = self._options
        load = {"tunnels": options.calls, "rate": options.rate, "bytes": _BYTES, "seconds": options.seconds}
        with self._site.client("voice", self._proxy.address, load, workers=options.workers) as client:
            client.wait_ready()
            with self._viewer() if looked else nullcontext() as viewer:
                time.sleep(_SETTLE_SECONDS)
                pids = _pids(self._proxy)
                before = {role: cpu_seconds(its) for role, its in pids.items()}
                if viewer is not None:
                    viewer.begin()
                began = time.monotonic()
                client.go()
                result = client.result()
                lasted = time.monotonic() - began
                cpu = {role: (cpu_seconds(its) - before[role]) / lasted for role, its in pids.items()}
                seen = {} if viewer is None else viewer.measured(lasted)
            client.end()
        return Round(cpu, float(result["latency_us"]["p99"]), seen, result["missing"])


def _pids(proxy: Splicer) -> dict[str, list[int]]:
    found = session_of(proxy.leader.pid)
    return {role: [pid for pid, title in found if re.fullmatch(of, title)] for role, of in _ROLES.items()}


@frozen
class Findings:
    """The result of all pairs: without a viewer, and with one.

    Args:
        pairs: of rounds.
    """

    pairs: Sequence[tuple[Round, Round]]

    @property
    def extra(self) -> list[float]:
        """The share of a core that the viewer took in each pair, of the admin process and all workers."""
        return [sum(seen.cpu.values()) - sum(alone.cpu.values()) for alone, seen in self.pairs]

    @property
    def p99(self) -> Interval:
        """The ratio of the frames' p99."""
        return ratio_of([(alone.p99_us, seen.p99_us) for alone, seen in self.pairs])

    @property
    def broken(self) -> list[str]:
        """The laws that are surely broken."""
        laws = {
            f"a viewer takes less than {_MOST_CPU:.0%} of a core": median(self.extra) < _MOST_CPU,
            f"the p99 is at most {_MOST_P99 - 1:.0%} more": self.p99.low <= _MOST_P99,
            "no frame is lost": not any(one.missing for pair in self.pairs for one in pair),
        }
        return [law for law, kept in laws.items() if not kept]

    def __str__(self) -> str:
        lines = [f"{'':34}{'nobody':>10}{'a viewer':>10}"]
        for role in _ROLES:
            alone, seen = (median(pair[place].cpu[role] for pair in self.pairs) for place in (0, 1))
            lines.append(f"{f'{role}: share of a core':34}{alone:10.2%}{seen:10.2%}")
        alone, seen = (median(pair[place].p99_us for pair in self.pairs) for place in (0, 1))
        its = self.p99
        sure = f"ratio {its.ratio:.3f} (95 %: {its.low:.3f} to {its.high:.3f})"
        lines.append(f"{'p99 of a frame, one way, us':34}{alone:10.0f}{seen:10.0f}  {sure}")
        extra = self.extra
        lines.append(f"a viewer takes {median(extra):.2%} of a core ({min(extra):.2%} to {max(extra):.2%})")
        for name in self.pairs[0][1].viewer:
            values = [pair[1].viewer[name] for pair in self.pairs]
            shown = _PAGE.get(name, "bytes a second")
            lines.append(f"{shown:34}{median(values):10.1f}  ({min(values):.1f} to {max(values):.1f})")
        return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """See above.

    Returns:
        The exit code: 0; 1: a law is broken, or nothing could be measured; 2: wrong usage; 130: interrupted.
    """
    options = _options(arguments)
    try:
        with interruptible():
            found = _measured(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (NoBrowser, PeerFailed, TrafficFailed, OSError) as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    sys.stdout.write(
        f"{options.calls} calls, {options.rate:g} frames a second each way, "
        f"{options.pairs} pairs of {options.seconds:g} s\n"
    )
    sys.stdout.write(f"{found}\n")
    sys.stdout.writelines(f"BROKEN: {law}\n" for law in found.broken)
    return 1 if found.broken else 0


def _measured(options: argparse.Namespace) -> Findings:
    bar = progress()
    bar.begin(2 * options.pairs * (options.seconds + _SETTLE_SECONDS + 1))
    try:
        with (
            opened(quick=True) as site,
            home_of("dashboard") as home,
            Splicer(
                "splicer", site.job(workers=options.workers), home, site.processors.proxy(options.workers), ROOT
            ) as proxy,
            browser() if options.browser else nullcontext() as shown,
        ):
            rounds = Rounds(
                site, proxy, options, lambda: Reader(proxy.admin) if shown is None else Page(shown, proxy.admin)
            )
            pairs = []
            for number in range(options.pairs):
                order = (False, True) if number % 2 == 0 else (True, False)
                found = {}
                for looked in order:
                    bar.now(f"pair {number + 1}, {'a viewer' if looked else 'nobody'}")
                    found[looked] = rounds.measure(looked=looked)
                    bar.done(options.seconds + _SETTLE_SECONDS + 1)
                pairs.append((found[False], found[True]))
    finally:
        bar.end()
    return Findings(pairs)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.dashboard_cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10, help="of rounds (10)")
    parser.add_argument("--seconds", type=seconds, default=4.0, help="of a round (4)")
    parser.add_argument("--calls", type=int, default=1000, help="that are live (1000)")
    parser.add_argument("--rate", type=float, default=10.0, help="frames of a call in a second (10)")
    parser.add_argument("--workers", type=int, default=1, help="of the edge (1)")
    parser.add_argument("--browser", action="store_true", help="look with the page in Chromium")
    options = parser.parse_args(arguments)
    if options.pairs < LEAST_PAIRS or options.calls < 1 or options.rate <= 0 or options.workers < 1:
        parser.error(f"at least {LEAST_PAIRS} pairs, and numbers above 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
