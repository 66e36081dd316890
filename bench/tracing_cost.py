"""Measure what tracing costs: this checkout without it, and with every request sampled, side by side.

    python -m bench.tracing_cost [--pairs 20] [--seconds 2] [--sample 1] [--at-once] [handshakes] [http]

Both run on one processor, each with one worker, and get the same load in turns, or, where other programs disturb, at
once (`bench.together`). The CPU time is that of all processes, so the export in the admin process is in it. The
collector is a thread of the bench, on the load's processors: it reads each request, and answers 200.

The law: with tracing, a new call takes at most 5 % more. If the whole 95 % interval is above that, the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

from bench.arguments import Parser, seconds
from bench.http_thread import Handler, served
from bench.interrupt import INTERRUPTED, interruptible
from bench.interval import LEAST_PAIRS, ratio_of
from bench.pairs import AFTER, BEFORE, Row
from bench.peers.base import Job, PeerFailed
from bench.peers.splicer import ROOT, Checkout, Splicer
from bench.peers.template import home_of
from bench.progress import Progress, progress
from bench.site import Site, opened
from bench.together import Cost, measured
from bench.traffic.driver import TrafficFailed

_MOST = 1.05  # the ratio that a new call's CPU may have
_CALL, _REQUEST, _OUTSIDE = "CPU of a new call", "CPU of an HTTP request", "of that outside the worker"
_NAMES: Mapping[str, str] = {"handshakes": _CALL, "http": _REQUEST}
_PAIR_SECONDS = 0.8  # that a pair takes in addition to its load
_EXPORT_SECONDS = 6.0  # until the last spans are sent


class _Collector(Handler):
    def do_POST(self) -> None:  # noqa: N802 - the library gives the name
        """Take a batch."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def _collector(cpus: Collection[int]) -> Iterator[str]:
    """A collector on these processors; its URL."""
    with served(_Collector, cpus) as url:
        yield f"{url}/v1/traces"


class Traced(Checkout):
    """splicer of this checkout, with tracing on.

    Args:
        name: see `Checkout`.
        sample: the share of the requests that are sampled.
    """

    def __init__(self, name: str, sample: float) -> None:
        super().__init__(name, ROOT)
        self._sample = sample

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Splicer]:
        """Run it; see `Peer.running`."""
        others = os.sched_getaffinity(0) - set(cpus) or os.sched_getaffinity(0)
        with _collector(others) as url, home_of(self.name) as home:
            extra = f'\n[tracing]\nendpoint = "{url}"\nsample = {self._sample}\n'
            with Splicer(self.name, job, home, cpus, extra=extra) as proxy:
                yield proxy


def broken(found: Sequence[Row]) -> bool:
    """Whether a new call surely takes more than it may."""
    return any(row.name == _CALL and row.interval.low > _MOST for row in found)


def main(arguments: Sequence[str] | None = None) -> int:
    """See above.

    Returns:
        The exit code: 0; 1: the law is broken, or nothing could be measured; 2: wrong usage; 130: interrupted.
    """
    options = _options(arguments)
    try:
        with interruptible(), opened(quick=True) as site:
            found = _measured(site, options, bar := progress())
            bar.end()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (PeerFailed, TrafficFailed, OSError, ValueError) as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    sys.stdout.write(f"{options.pairs} pairs of rounds of {options.seconds:g} s; sampled: {options.sample:.0%}\n")
    sys.stdout.write(f"{'':30}{'without':>10}{'with':>10}  with / without (95 %)\n")
    sys.stdout.writelines(f"{row}\n" for row in found)
    sys.stdout.write(f"a new call takes at most {_MOST - 1:.0%} more: {'BROKEN' if broken(found) else 'kept'}\n")
    return 1 if broken(found) else 0


def _measured(site: Site, options: argparse.Namespace, bar: Progress) -> list[Row]:
    modes, found = options.scenarios or list(_NAMES), list[Row]()
    turn = (options.seconds + _PAIR_SECONDS) * (1 if options.at_once else 2)
    bar.begin(len(modes) * (options.pairs * turn + _EXPORT_SECONDS))

    def told(number: int) -> None:
        bar.now(f"{mode} {number + 1}/{options.pairs}")
        bar.done(turn)

    for mode in modes:
        peers = Checkout(BEFORE, ROOT), Traced(AFTER, options.sample)
        costs = measured(
            site, peers, mode, options.pairs, options.seconds, _EXPORT_SECONDS, told, at_once=options.at_once
        )
        found.append(_row(_NAMES[mode], costs, lambda cost: cost.whole))
        if all(cost.outside for pair in costs for cost in pair):  # in a short round of requests nobody else may wake up
            found.append(_row(_OUTSIDE, costs, lambda cost: cost.outside))
    return found


def _row(name: str, costs: Sequence[tuple[Cost, Cost]], of: Callable[[Cost], float]) -> Row:
    numbers = [(of(before), of(after)) for before, after in costs]
    before, after = (median(side) for side in zip(*numbers, strict=True))
    return Row(name, before, after, ratio_of(numbers))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.tracing_cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(_NAMES)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {known}; else both")
    parser.add_argument("--pairs", type=int, default=20, help="of rounds of each scenario (20)")
    parser.add_argument("--seconds", type=seconds, default=2.0, help="of a round (2)")
    parser.add_argument("--sample", type=float, default=1.0, help="the share of the requests that are sampled (1)")
    parser.add_argument("--at-once", action="store_true", help="both loads at the same time; else in turns")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.scenarios if name not in _NAMES]:
        parser.error(f"no scenario {unknown[0]!r}; there are {known}")
    if options.pairs < LEAST_PAIRS or not 0 <= options.sample <= 1:
        parser.error(f"at least {LEAST_PAIRS} pairs, and a share from 0 to 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
