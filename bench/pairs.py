"""Check whether a change has made splicer more expensive: run this checkout and another one in turns.

    python -m bench.pairs --before PATH-OR-COMMIT [--after PATH] [--pairs 20] [--seconds 2] [--full] [SCENARIO …]

Both run at the same time on one processor, each with one worker; the load has the other processors. Rounds go A B, B A,
A B …; 20 pairs take six minutes. A ratio above 1 means that "after" takes more. It is printed with its 95 % interval
(see `bench.interval`); the exit code is 1 if the whole interval is above 1. A commit is run as git has it, with nothing
built; both run with this Python and its installed packages.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from bench import scenarios
from bench.arguments import Parser, seconds
from bench.interrupt import INTERRUPTED, interruptible
from bench.interval import LEAST_PAIRS, Interval, ratio_of
from bench.model import Report
from bench.peers.splicer import ROOT, Checkout
from bench.progress import progress
from bench.report.words import number
from bench.run import Options, Run
from bench.traffic.driver import TrafficFailed

BEFORE, AFTER = "before", "after"
USUAL = ("frames", "handshakes", "http")


@frozen
class Cost:
    """A figure as the cost of one item: less is better.

    Args:
        key: of the figure.
        name: of the cost.
        per_cpu: the figure is the number of items for one CPU second.
    """

    key: str
    name: str
    per_cpu: bool = False

    def of(self, value: float) -> float:
        """Microseconds."""
        return 1e6 / value if self.per_cpu else value


COSTS = (
    Cost("frames.cpu_us", "CPU of a frame"),
    Cost("frames.30_cpu_us", "CPU of a frame, 30 calls"),
    Cost("frames.800_cpu_us", "CPU of a frame, 800 calls"),
    Cost("even.cpu_us", "CPU of an evenly spread frame"),
    Cost("burst.cpu_us", "CPU of a frame of a burst"),
    Cost("saturate.per_cpu", "CPU of a frame at full load", per_cpu=True),
    Cost("handshakes.per_cpu", "CPU of a new call", per_cpu=True),
    Cost("handshakes.outside_us", "of that outside the worker"),
    Cost("http.per_cpu", "CPU of an HTTP request", per_cpu=True),
)


@frozen
class Row:
    """The result for one cost: medians in microseconds, and the ratio of after to before."""

    name: str
    before: float
    after: float
    interval: Interval

    @property
    def dearer(self) -> bool:
        """Whether the cost has risen for certain."""
        return self.interval.low > 1

    def __str__(self) -> str:
        its = self.interval
        verdict = "dearer" if self.dearer else "cheaper" if its.high < 1 else "no difference that shows"
        sure = f"{its.ratio:.3f} ({its.low:.3f} to {its.high:.3f})"
        return f"{self.name:30}{number(self.before):>10}{number(self.after):>10}  {sure:26}{verdict}"


class NoPairs(Exception):
    """The two can't be compared; the message has one line."""


def rows(report: Report) -> list[Row]:
    """The results of a run for each cost that it has measured.

    Raises:
        NoPairs: one of the two could not be measured, or not often enough.
    """
    if report.skipped:
        raise NoPairs("; ".join(f"{one.peer} {one.scenario}: {one.reason}" for one in report.skipped))
    found = []
    for cost in COSTS:
        before, after = report.figure(cost.key, BEFORE), report.figure(cost.key, AFTER)
        if before is None or after is None:
            continue
        try:
            both = zip(before.values, after.values, strict=True)
            its = ratio_of([(cost.of(first), cost.of(second)) for first, second in both])
        except (ValueError, ZeroDivisionError) as error:
            raise NoPairs(f"{cost.key}: {error}") from None
        found.append(Row(cost.name, cost.of(before.median), cost.of(after.median), its))
    return found


@contextmanager
def code_of(where: str) -> Iterator[Path]:
    """A directory with the package: an existing one, or one that is made from a commit of this repository.

    Args:
        where: a path, or a commit's name.

    Raises:
        NoPairs: it is neither.
    """
    if Path(where).is_dir():
        yield Path(where).resolve()
        return
    packed = subprocess.run(  # noqa: S603 - git takes it as a name or says that there is none
        ["git", "-C", str(ROOT), "archive", "--format=tar", where, "--", "splicer"],  # noqa: S607 - git from PATH
        capture_output=True,
        check=False,
    )
    if packed.returncode:
        raise NoPairs(f"{where} is no directory and no commit: {packed.stderr.decode(errors='replace').strip()}")
    with tempfile.TemporaryDirectory(prefix="bench-code-") as directory:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(directory, filter="data")
        yield Path(directory)


def main(arguments: Sequence[str] | None = None) -> int:
    """See above.

    Returns:
        The exit code: 0; 1: a cost has risen, or could not be measured; 2: wrong usage; 130: interrupted.
    """
    options = _options(arguments)
    try:
        with interruptible(), code_of(options.before) as before, code_of(options.after) as after:
            report = _measured(options, before, after)
        found = rows(report)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (NoPairs, TrafficFailed, OSError) as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    _tell(options, report, found)
    return 1 if any(row.dearer for row in found) else 0


def _measured(options: argparse.Namespace, before: Path, after: Path) -> Report:
    peers = [Checkout(BEFORE, before), Checkout(AFTER, after)]
    wanted = [scenario for name, scenario in scenarios.ALL.items() if name in (options.scenarios or USUAL)]
    run = Run(Options(wanted, peers, options.pairs, options.seconds, quick=not options.full), bar := progress())
    try:
        run.execute()
    finally:
        bar.end()
    return run.report()


def _tell(options: argparse.Namespace, report: Report, found: Sequence[Row]) -> None:
    for note in report.notes:
        sys.stderr.write(f"note: {note}\n")
    sys.stdout.write(
        f"before: {options.before}, {report.versions[BEFORE]}\nafter: {options.after}, {report.versions[AFTER]}\n"
    )
    sys.stdout.write(f"{options.pairs} pairs of rounds of {options.seconds:g} s; medians in us\n")
    sys.stdout.write(f"{'':30}{'before':>10}{'after':>10}  {'after / before (95 %)':26}\n")
    sys.stdout.writelines(f"{row}\n" for row in found)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.pairs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    there = [name for name in scenarios.ALL if any(cost.key.startswith(f"{name}.") for cost in COSTS)]
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(there)}; else {', '.join(USUAL)}"
    )
    parser.add_argument("--before", required=True, metavar="PATH-OR-COMMIT", help="a checkout, or a commit of this one")
    parser.add_argument("--after", default=str(ROOT), metavar="PATH-OR-COMMIT", help="the same; else this checkout")
    parser.add_argument("--pairs", type=_pairs, default=20, help="of rounds of each scenario (20)")
    parser.add_argument("--full", action="store_true", help="frames of 30 and 800 calls as well")
    parser.add_argument("--seconds", type=seconds, default=2.0, help="of a round (2)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.scenarios if name not in there]:
        parser.error(f"no scenario {unknown[0]!r} tells a cost; those that do: {', '.join(there)}")
    return options


def _pairs(text: str) -> int:
    if text.isdecimal() and int(text) >= LEAST_PAIRS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {LEAST_PAIRS} on")


if __name__ == "__main__":
    sys.exit(main())
