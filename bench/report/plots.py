"""Plots of a report, each as PNG and SVG.

matplotlib is imported when a plot is drawn, and used without pyplot: no window, no state that outlives a plot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from bench.model import Figure, Report
from bench.report.markdown import README_KEYS
from bench.report.words import (
    DIRECT,
    LOAD_BOUND,
    MINE,
    TIMES,
    against,
    keys_of,
    labelled,
    name_of,
    number,
    peers_of,
    times,
)
from bench.report.words import title_of as title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

# Colours that colour-blind readers can distinguish: Okabe and Ito, "Color Universal Design" (2008).
_COLOURS = {
    MINE: "#D55E00",
    "nginx": "#009E73",
    "nginx-tuned": "#56B4E9",
    "haproxy": "#0072B2",
    "envoy": "#CC79A7",
    "caddy": "#E69F00",
    DIRECT: "#999999",
}
_MARKERS = {MINE: "o", "nginx": "s", "nginx-tuned": "D", "haproxy": "^", "envoy": "v", "caddy": "P"}
_OTHER = "#333333"
_WIDEST = 32.0  # the longest bar; a larger ratio is written at its end
_TICKS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32)
_CURVE = re.compile(r"scale\.routes_(\d+)_us")
_DAGGER = f"{LOAD_BOUND} the load was at its limit, not the proxy, which could have done more"
_RATIO_DAGGER = (
    f"{_DAGGER}: the true ratio is lower for splicer\nwhere a peer's bar bears it, and higher where the figure's name "
    "does, for splicer itself"
)
_CUT = f"bars are cut at {_WIDEST:g}{TIMES} and 1/{_WIDEST:g}{TIMES}"


def draw(report: Report, directory: Path) -> list[Path]:
    """Draw each plot for which the report has figures.

    - ``ratios``: how much better splicer is than each peer;
    - ``frames``, ``bulk`` …: the figures of a scenario, with their spread;
    - ``scale-routes``: what a new call costs over the number of routes.

    Args:
        report: a run.
        directory: of the files; it must exist.

    Returns:
        The files that were written.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: a file can't be written.
    """
    from matplotlib import rc_context

    written = []
    with rc_context({"font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "splicer", "axes.axisbelow": True}):
        for name, sheet in _sheets(report):
            for path in (directory / f"{name}.png", directory / f"{name}.svg"):
                sheet.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
                written.append(path)
    return written


def _sheets(report: Report) -> Iterator[tuple[str, Sheet]]:
    if ratios := _ratios(report):
        yield "ratios", ratios
    for scenario in dict.fromkeys(figure.scenario for figure in report.figures):
        keys = [key for key in keys_of(report) if key.startswith(f"{scenario}.") and not _CURVE.fullmatch(key)]
        if keys:
            yield scenario, _scenario(report, keys)
    if curve := _curve(report):
        yield "scale-routes", curve


# ---- ratios ----


def _ratios(report: Report) -> Sheet | None:
    """Bars that start at 1: to the right splicer is better, to the left the peer."""
    from matplotlib.figure import Figure as Sheet

    keys = [key for key in keys_of(report, README_KEYS) if any(_shown(report, key, peer) for peer in peers_of(report))]
    peers = [peer for peer in peers_of(report) if any(_shown(report, key, peer) for key in keys)]
    if not keys:
        return None
    sheet = Sheet(figsize=(9, 1.1 + len(keys) * (0.16 + 0.125 * len(peers))), layout="constrained")
    axes = sheet.subplots()
    for place, peer in enumerate(peers):
        _ratio_bars(axes, report, keys, peer, (place + 0.5) / len(peers) - 0.5, 0.8 / len(peers))
    _ratio_axes(axes, [name_of(key) + _mark(report, key, MINE) for key in keys])
    marked = any(_mark(report, key, peer) for key in keys for peer in (MINE, *peers))
    sheet.supxlabel(f"{_RATIO_DAGGER}\n{_CUT}" if marked else _CUT, fontsize=8)
    sheet.legend(loc="outside upper center", ncols=len(peers), frameon=False)
    return sheet


def _shown(report: Report, key: str, peer: str) -> float | None:
    """A ratio, clipped to the axis; None also if both figures are 0, which is no ratio."""
    value, mine = against(report, key, peer), report.figure(key, MINE)
    if value is None or mine is None or (value == 1.0 and mine.median == 0.0):
        return None
    return min(max(value, 1 / _WIDEST), _WIDEST)


def _ratio_bars(axes: Axes, report: Report, keys: Sequence[str], peer: str, shift: float, height: float) -> None:
    rows = [(row, shown) for row, key in enumerate(keys) if (shown := _shown(report, key, peer)) is not None]
    axes.barh(
        [row + shift * 0.8 for row, _ in rows],
        [shown - 1 for _, shown in rows],
        left=1.0,
        height=height * 0.9,
        color=_COLOURS.get(peer, _OTHER),
        label=title(peer),
    )
    for row, shown in rows:
        text = times(against(report, keys[row], peer) or 0.0) + _mark(report, keys[row], peer)
        right = shown >= 1
        axes.annotate(
            text,
            (shown, row + shift * 0.8),
            xytext=(3 if right else -3, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=6.5,
        )


def _mark(report: Report, key: str, peer: str) -> str:
    """The dagger behind a figure that the load limited."""
    figure = report.figure(key, peer)
    return f" {LOAD_BOUND}" if figure and figure.load_bound else ""


def _ratio_axes(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xscale("log", base=2)
    least, greatest = axes.get_xlim()
    axes.set_xticks(_TICKS, labels=[f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in _TICKS])
    axes.set_xlim(min(least, 0.5) / 1.35, max(greatest, 2.0) * 1.35)
    axes.minorticks_off()
    axes.axvline(1.0, color="black", linewidth=1.0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_yticks(range(len(names)), labels=[fill(name, 32) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlabel("← the peer is better        splicer is better →")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


# ---- a scenario ----


def _scenario(report: Report, keys: Sequence[str]) -> Sheet:
    """A panel for each figure, since their units differ."""
    from matplotlib.figure import Figure as Sheet

    columns = min(len(keys), 2)
    rows = math.ceil(len(keys) / columns)
    sheet = Sheet(figsize=(4.6 * columns, 0.3 + rows * (0.8 + 0.3 * len(peers_of(report)))), layout="constrained")
    panels = sheet.subplots(rows, columns, squeeze=False).flatten()
    for panel, key in zip(panels, keys, strict=False):
        _panel(panel, [figure for peer in peers_of(report) if (figure := report.figure(key, peer))])
    for panel in panels[len(keys) :]:
        panel.set_axis_off()
    if any(figure.load_bound for figure in report.figures if figure.key in keys):
        sheet.supxlabel(_DAGGER, fontsize=8)
    return sheet


def _panel(axes: Axes, figures: Sequence[Figure]) -> None:
    figures = [figure for figure in figures if all(map(math.isfinite, figure.values))]
    middles = [figure.median for figure in figures]
    below = [figure.median - min(figure.values) for figure in figures]
    above = [max(figure.values) - figure.median for figure in figures]
    axes.barh(
        range(len(figures)),
        middles,
        xerr=[below, above],
        color=[_COLOURS.get(figure.peer, _OTHER) for figure in figures],
        error_kw={"ecolor": "black", "elinewidth": 0.9, "capsize": 2.5},
    )
    for row, figure in enumerate(figures):
        mark = f" {LOAD_BOUND}" if figure.load_bound else ""
        axes.annotate(
            number(figure.median) + mark,
            (max(*figure.values, 0.0), row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(figures)), labels=[title(figure.peer) for figure in figures])
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.10g}")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    if figures:
        axes.set_title(labelled(figures[0].key, figures[0].unit), fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


# ---- the scale curve ----


def _curve(report: Report) -> Sheet | None:
    """The cost of a new call over the number of routes before its own."""
    from matplotlib.figure import Figure as Sheet

    routes = sorted(int(found[1]) for key in keys_of(report) if (found := _CURVE.fullmatch(key)))
    if not routes:
        return None
    sheet = Sheet(figsize=(7, 4.2), layout="constrained")
    axes = sheet.subplots()
    for peer in peers_of(report):
        points = [(many, figure) for many in routes if (figure := report.figure(f"scale.routes_{many}_us", peer))]
        if points:
            _line(axes, peer, points)
    axes.set_xscale("log")
    axes.set_xticks(routes, labels=[f"{many:,}" for many in routes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.set_xlabel("routes")
    axes.set_ylabel("CPU for a new call (µs)")
    axes.grid(color="#dddddd", linewidth=0.6)
    sheet.legend(loc="outside right upper", frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return sheet


def _line(axes: Axes, peer: str, found: Sequence[tuple[int, Figure]]) -> None:
    axes.errorbar(
        [many for many, _ in found],
        [figure.median for _, figure in found],
        yerr=[
            [figure.median - min(figure.values) for _, figure in found],
            [max(figure.values) - figure.median for _, figure in found],
        ],
        color=_COLOURS.get(peer, _OTHER),
        marker=_MARKERS.get(peer, "x"),
        markersize=5,
        capsize=2.5,
        linewidth=2.2 if peer == MINE else 1.3,
        label=title(peer),
    )
