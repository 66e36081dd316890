"""The bench's command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from bench import peers, scenarios
from bench.arguments import Parser, seconds, shown
from bench.interrupt import INTERRUPTED, interruptible
from bench.model import Report
from bench.progress import progress
from bench.report.write import RESULTS, write
from bench.run import Options, Run
from bench.traffic.driver import TrafficFailed

T = TypeVar("T")

_MINE = "splicer"
_ALL = "all"
_PEERS = {peer.name: peer for peer in peers.ALL}
_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios that the arguments name, and write the report.

    Returns:
        The exit code: 0; 1: splicer itself could not be measured, or the report could not be written; 2: wrong usage;
        130: interrupted, after writing what had been measured.
    """
    options, out = _options(arguments)
    if options is None:
        with suppress(BrokenPipeError):
            _list()
        return 0
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.stderr.write(f"--out: {error}\n")
        return _FAILED
    run = Run(options, bar := progress())
    code = 0
    try:
        with interruptible():
            run.execute()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (TrafficFailed, OSError) as failed:
        sys.stderr.write(f"{failed}\n")
        code = _FAILED
    finally:
        bar.end()
    try:
        with interruptible():
            return _print_result(run.report(), out) or code
    except KeyboardInterrupt:
        return INTERRUPTED


def _print_result(report: Report, out: Path) -> int:
    """Print and write the results."""
    for skipped in report.skipped:
        what = " in ".join(filter(None, (skipped.peer, skipped.scenario)))
        sys.stderr.write(f"skipped: {what}: {skipped.reason}\n")
    try:
        for path in write(report, out) if report.figures else ():
            sys.stdout.write(f"{path}\n")
    except OSError as error:
        sys.stderr.write(f"the report can't be written: {error}\n")
        return _FAILED
    return _FAILED if any(skipped.peer == _MINE for skipped in report.skipped) else 0


def _list() -> None:
    sys.stdout.write("scenarios:\n")
    for scenario in scenarios.ALL.values():
        sys.stdout.write(f"  {scenario.name:12}{scenario.about}\n")
        if reason := scenario.missing():
            sys.stdout.write(f"  {'':12}is skipped: {reason}\n")
    sys.stdout.write("peers:\n")
    for peer in peers.ALL:
        sys.stdout.write(f"  {peer.name:12}{peer.missing() or peer.version()}\n")


# ---- arguments ----


def _parser() -> Parser:
    parser = Parser(prog="python -m bench", description="splicer side by side with other proxies.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="some of --list, or all")
    parser.add_argument("--peers", metavar="NAME,NAME", help="beside splicer, some of --list; else all")
    parser.add_argument("--seconds", type=seconds, help="of one load; else what each scenario thinks right")
    parser.add_argument("--repeat", type=_repeat, help="repetitions; else 3 (--quick: 1), of some scenarios fewer")
    parser.add_argument(
        "--tries",
        type=_repeat,
        default=1,
        help="measure a peer again, up to so often, while others take more than 5%% of the machine (%(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help=f"where reports are: {shown(RESULTS)}")
    parser.add_argument("--list", action="store_true", help="what there is to measure, and whom")
    return parser


def _options(arguments: Sequence[str] | None) -> tuple[Options | None, Path]:
    """The options of the run (None with --list), and the directory of the report."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.list:
        return None, given.out
    names = [_MINE, *map(str.strip, given.peers.split(","))] if given.peers else [_ALL]
    options = Options(
        _chosen(parser, "scenario", given.scenarios or [_ALL], scenarios.ALL),
        _chosen(parser, "peer", names, _PEERS),
        given.repeat or (1 if given.quick else None),
        given.seconds,
        given.quick,
        given.tries,
    )
    return options, given.out


def _chosen(parser: Parser, kind: str, names: Sequence[str], there: Mapping[str, T]) -> list[T]:
    """The items with these names, without duplicates, in the order of a whole run."""
    if unknown := [name for name in names if name not in there and name != _ALL]:
        parser.error(f"no {kind} {unknown[0]!r}; there is {', '.join(there)}, {_ALL}")
    return [one for name, one in there.items() if name in names or _ALL in names]


def _repeat(text: str) -> int:
    with suppress(ValueError):
        if (repeat := int(text)) > 0:
            return repeat
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
