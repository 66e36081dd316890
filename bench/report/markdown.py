"""A report as a page of Markdown, and the short table of the README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.model import Figure, Report
from bench.report.words import (
    DASH,
    DIRECT,
    LOAD_BOUND,
    MISSING,
    TIMES,
    against,
    keys_of,
    labelled,
    number,
    peers_of,
    times,
    title_of,
)

README_KEYS = (
    "frames.cpu_us",
    "frames.p50_us",
    "frames.p99_us",
    "saturate.rate",
    "bulk.64k_mb",
    "bulk.1m_mb",
    "handshakes.rate",
    "storm.p99_us",
    "idle.5000_kb",
    "http.rate",
    "kill.lost",
    "kill.stall_ms",
)
_HOW = (
    "Medians, with the least and the greatest of the repetitions in brackets, and the ratio to splicer: "
    f"**above 1{TIMES} splicer is better**, whichever way the figure itself points."
)


def markdown(report: Report, plots: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
        report: a run.
        plots: files beside the page; the page shows them.
    """
    parts = [
        f"# splicer and its peers, {_plain(report.started)}",
        _listed("Machine", report.machine.items()),
        _listed("Versions", ((title_of(peer), version) for peer, version in report.versions.items())),
        _listed("Settings", [*report.settings.items(), ("took", f"{report.seconds:,.0f} s")]),
        f"## Figures\n\n{_HOW}",
        _table(report, keys_of(report), full=True),
        _bounds(report),
        _bullets("Not measured", (_skipped(*one) for one in _skips(report))),
        _bullets("Notes", map(_plain, report.notes)),
        "\n\n".join(f"![{plot.rpartition('.')[0]}]({plot})" for plot in plots),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def readme_table(report: Report) -> str:
    """The README's table: the figures that matter most, without their spread; 12 rows at most."""
    table = _table(report, keys_of(report, README_KEYS), full=False)
    return f"{table}\n\n{_DAGGER}" if LOAD_BOUND in table else table


_DAGGER = (
    f"{LOAD_BOUND} The load was at its limit, not the proxy, which could have done more: where a peer bears it, the "
    "true ratio is lower for splicer; where splicer bears it, higher."
)


def _table(report: Report, keys: Iterable[str], *, full: bool) -> str:
    keys = list(keys)
    shown = [peer for peer in peers_of(report) if full or peer != DIRECT]
    peers = [peer for peer in shown if any(report.figure(key, peer) for key in keys)]
    rows = [["", *map(title_of, peers)], ["---", *("---:" for _ in peers)]]
    for key in keys:
        found = [report.figure(key, peer) for peer in peers]
        unit = next(figure.unit for figure in found if figure)
        rows.append([_plain(labelled(key, unit)), *(_cell(report, figure, full=full) for figure in found)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(report: Report, figure: Figure | None, *, full: bool) -> str:
    if figure is None:
        return MISSING
    text = number(figure.median)
    if full and len(figure.values) > 1:
        text += f" ({number(min(figure.values))}{DASH}{number(max(figure.values))})"
    better = against(report, figure.key, figure.peer)
    if better is not None:
        text += f", **{times(better)}**" if full else f" ({times(better)})"
    return f"{text} {LOAD_BOUND}" if figure.load_bound else text


def _bounds(report: Report) -> str:
    """The peers whose figures are marked, with the number of repetitions that the load limited."""
    bound = [figure for figure in report.figures if figure.load_bound]
    if not bound:
        return ""
    which = (f"{one.key} of {title_of(one.peer)} ({one.load_bound} of {len(one.values)})" for one in bound)
    return _plain(f"{_DAGGER} Repetitions of which it is true: {', '.join(which)}.")


def _skips(report: Report) -> Iterable[tuple[str, str, str]]:
    return ((one.peer, one.scenario, one.reason) for one in report.skipped)


def _skipped(peer: str, scenario: str, reason: str) -> str:
    return _plain(f"{', '.join(filter(None, (title_of(peer), scenario)))}: {reason}")


def _listed(heading: str, pairs: Iterable[tuple[str, str]]) -> str:
    return _bullets(heading, (f"{_plain(label)}: {_plain(text)}" for label, text in pairs))


def _bullets(heading: str, lines: Iterable[str]) -> str:
    items = "\n".join(f"- {line}" for line in lines)
    return f"## {heading}\n\n{items}" if items else ""


def _plain(text: str) -> str:
    """Escape foreign text: one line, without columns, tags or emphasis."""
    line = " ".join(text.split())
    for sign in "\\|<*_`[":
        line = line.replace(sign, f"\\{sign}")
    return line
