"""Write the files of a run into a directory of its own."""

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

    The JSON is written first; the page is written before the plots, and again with them: a later failure can't lose
    the run. If plots can't be drawn, a line on stderr says so.

    Args:
        report: a run.
        directory: of all runs; it gets a directory named after the start of this run, and a link ``latest`` to it.

    Returns:
        The files that were written.

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
    """Draw the plots; on failure print a line on stderr and return none."""
    try:
        if importlib.util.find_spec("matplotlib"):
            return plots.draw(report, directory)
        why = "matplotlib is not installed"
    except Exception as error:  # noqa: BLE001 - a broken matplotlib may raise anything; the report must survive it
        why = shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")
    sys.stderr.write(f"no plots: {why}\n")
    return []


def _point(link: Path, target: str) -> None:
    """Point a link at a target atomically: the link always names an existing one."""
    fresh = link.with_name(f".{link.name}-{target}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
