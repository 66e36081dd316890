"""Check that splicer has not fallen behind: compare the ratios of a run with those in expected.toml.

    python -m bench.guard [RESULT.json] [--expected bench/expected.toml]

The exit code is 1 if a ratio is below the expected one by more than its tolerance, or if splicer could not be measured;
2 if a file can't be used. A peer that was not measured is reported, but is not a failure.
"""

from __future__ import annotations

import argparse
import math
import sys
import tomllib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from attrs import field, frozen
from cattrs import Converter

from bench import peers
from bench.arguments import Parser, shown
from bench.model import MORE_IS_BETTER, Report
from bench.report.store import NoReport, one_line, read
from bench.report.words import MINE, against, times
from bench.report.write import LATEST

EXPECTED = Path(__file__).parent / "expected.toml"


@frozen
class Expect:
    """An expected ratio.

    Args:
        figure: a key of `MORE_IS_BETTER`.
        peer: the peer that splicer is compared with.
        ratio: how many times better splicer is; below 1 it is worse.
        tolerance: the share of the ratio that may be missing.
    """

    figure: str
    peer: str
    ratio: float
    tolerance: float

    @property
    def least(self) -> float:
        """The least ratio that passes."""
        return self.ratio * (1 - self.tolerance)


@frozen
class _Expected:
    expect: tuple[Expect, ...] = field(converter=tuple)


class BadExpected(Exception):
    """An expected.toml that can't be used; one line."""


class Outcome(StrEnum):
    """The result of a comparison; only FELL is a failure."""

    HOLDS = "ok"
    FELL = "fell"
    LOAD_BOUND = "load-bound"
    SKIPPED = "skipped"


@frozen
class Verdict:
    """One comparison.

    Args:
        expect: the expected ratio.
        measured: the ratio, if there is one.
        outcome: the result.
        why: the reason in one line, if the numbers don't show it.
    """

    expect: Expect
    measured: float | None
    outcome: Outcome
    why: str = ""


def expectations(path: Path) -> tuple[Expect, ...]:
    """The expected ratios in a file.

    Raises:
        BadExpected: it can't be used.
    """
    try:
        found = Converter(forbid_extra_keys=True).structure(tomllib.loads(path.read_text("utf-8")), _Expected).expect
    except OSError as error:
        raise BadExpected(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadExpected(f"{path} is no TOML: {error}") from None
    except Exception as error:  # noqa: BLE001 - cattrs raises whatever a wrong value leads to
        raise BadExpected(f"{path}: {one_line(error)}") from None
    if not found:
        raise BadExpected(f"{path}: nothing is expected")
    for number, one in enumerate(found, 1):
        if fault := _fault(one):
            raise BadExpected(f"{path}: expect {number}: {fault}")
    return found


def _fault(one: Expect) -> str:
    if one.figure not in MORE_IS_BETTER:
        return f"no figure {one.figure!r} is compared; those that are: {', '.join(MORE_IS_BETTER)}"
    if one.peer == MINE:
        return f"{MINE} is not compared with itself"
    if one.peer not in (known := [peer.name for peer in peers.ALL if peer.name != MINE]):
        return f"no peer {one.peer!r}; there is {', '.join(known)}"
    if not 0 < one.ratio < float("inf"):
        return f"ratio must be above 0, not {one.ratio:g}"
    return "" if 0 <= one.tolerance < 1 else f"tolerance must be from 0 to below 1, not {one.tolerance:g}"


def verdicts(report: Report, expected: Iterable[Expect]) -> list[Verdict]:
    """Compare a run with the expected ratios."""
    return [_verdict(report, one) for one in expected]


# A load at its limit makes a rate too small, never too large. If splicer's load was at its limit, the true ratio is the
# measured one or better: a low ratio proves nothing. If only the peer's load was, the true ratio is the measured one or
# worse: a low ratio is a failure, and a sufficient one is uncertain.
def _verdict(report: Report, one: Expect) -> Verdict:
    measured = against(report, one.figure, one.peer)
    if fault := _unmeasured(report, one.figure):
        return Verdict(one, measured, Outcome.FELL, fault)
    if measured is None:
        return Verdict(one, None, Outcome.SKIPPED, _missing(report, one))
    rate = MORE_IS_BETTER[one.figure]
    mine, its = (rate and _bound(report, one.figure, peer) for peer in (MINE, one.peer))
    if measured >= one.least:
        return Verdict(one, measured, Outcome.HOLDS, "but the load limited the peer" if its else "")
    if mine:
        return Verdict(one, measured, Outcome.LOAD_BOUND, "the load limited splicer: it is not judged")
    return Verdict(one, measured, Outcome.FELL, f"less than {times(one.least)}")


# Every expected ratio needs a figure of splicer: a crash must never look like a peer that is not installed.
def _unmeasured(report: Report, key: str) -> str:
    """Why splicer's figure was skipped or is not finite; "" if neither is so."""
    reason = _skip_reason(report, key, MINE)
    if reason is not None:
        return f"{MINE} was not measured: {reason}"
    figure = report.figure(key, MINE)
    if figure is None or all(map(math.isfinite, figure.values)):
        return ""
    return f"{MINE} was not measured: {', '.join(f'{value:g}' for value in figure.values)}"


def _skip_reason(report: Report, key: str, peer: str) -> str | None:
    """The reason, in one line, why a run skipped a figure of a peer; None if it did not."""
    scenario = key.partition(".")[0]
    reasons = (left.reason for left in report.skipped if (left.peer, left.scenario) in ((peer, ""), (peer, scenario)))
    reason = next(reasons, None)
    return None if reason is None else " ".join(reason.split())


def _bound(report: Report, key: str, peer: str) -> bool:
    """Whether the load limited so many repetitions that the median is limited too."""
    figure = report.figure(key, peer)
    return figure is not None and 2 * figure.load_bound >= len(figure.values)


def _missing(report: Report, one: Expect) -> str:
    """Why the two can't be compared."""
    if (reason := _skip_reason(report, one.figure, "")) is not None:
        return reason
    for peer in (MINE, one.peer):
        figure = report.figure(one.figure, peer)
        if figure is None:
            return f"{peer}: {_skip_reason(report, one.figure, peer) or 'not in this run'}"
        if math.isnan(figure.median):
            return f"{peer}: its median is no number"
    return "below zero: less than the noise"


def table(found: Sequence[Verdict]) -> str:
    """All comparisons, one on each line, below a header."""
    rows = [("figure", "peer", "expected", "tolerance", "measured", "verdict")]
    for one in found:
        measured = "-" if one.measured is None else times(one.measured)
        verdict = f"{one.outcome}: {one.why}" if one.why else one.outcome.value
        expect = one.expect
        rows.append(
            (expect.figure, expect.peer, times(expect.ratio), f"{expect.tolerance:.0%}", measured, verdict),
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """See above.

    Returns:
        The exit code.
    """
    parser = Parser(
        prog="python -m bench.guard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", nargs="?", type=Path, default=LATEST, metavar="RESULT.json", help=shown(LATEST))
    parser.add_argument("--expected", type=Path, default=EXPECTED, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        found = verdicts(read(options.result), expectations(options.expected))
    except (NoReport, BadExpected) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(table(found))
    return 1 if any(one.outcome is Outcome.FELL for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
