"""All that is left of a run, in a directory of its own."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from textwrap import shorten

from bench.model import Report
from bench.report import plots
from bench.report.markdown import markdown
from bench.report.store import dumps

RESULTS = Path(__file__).resolve().parents[1] / "results"
JSON = "bench.json"
LATEST = RESULTS / "latest" / JSON


def write(report: Report, directory: Path = RESULTS) -> list[Path]:
    """Write a report as JSON and Markdown, and its plots if matplotlib is installed.

    The JSON is first, and the page is written before the plots and again with them: nothing that fails later can lose
    the run. Plots that can't be drawn cost a line on stderr.

    Args:
        report: a run.
        directory: where all runs are; it gets a directory named for when this one started, and a link ``latest`` to it.

    Returns:
        What was written.

    Raises:
        OSError: JSON or Markdown can't be written.
    """
    here = directory / re.sub(r"[^0-9A-Za-z+-]", "-", report.started)
    here.mkdir(parents=True, exist_ok=True)
    data, page = here / JSON, here / "report.md"
    data.write_text(dumps(report), encoding="utf-8")
    _point(directory / "latest", here.name)
    page.write_text(markdown(report), encoding="utf-8")
    drawn = _plots(report, here)
    if drawn:
        page.write_text(markdown(report, [path.name for path in drawn if path.suffix == ".svg"]), encoding="utf-8")
    return [data, page, *drawn]


def _plots(report: Report, directory: Path) -> list[Path]:
    """The plots, or none and a line on stderr."""
    try:
        if importlib.util.find_spec("matplotlib"):
            return plots.draw(report, directory)
        why = "matplotlib is not installed"
    except Exception as error:  # noqa: BLE001 - a broken matplotlib raises anything, and the report is worth more
        why = shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")
    sys.stderr.write(f"no plots: {why}\n")
    return []


def _point(link: Path, target: str) -> None:
    """Let a link name a target, and at every moment one that is there."""
    fresh = link.with_name(f".{link.name}-{target}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
