"""All that is left of a run, in a directory of its own."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from bench.model import Report
from bench.report import plots
from bench.report.markdown import markdown
from bench.report.store import dumps

RESULTS = Path("bench/results")
JSON = "bench.json"
LATEST = RESULTS / "latest" / JSON


def write(report: Report, directory: Path = RESULTS) -> list[Path]:
    """Write a report as JSON and Markdown, and its plots if matplotlib is installed.

    The JSON is first: nothing that fails after it can lose the run.

    Args:
        report: a run.
        directory: where all runs are; it gets a directory named for when this one started, and a link ``latest`` to it.

    Returns:
        What was written.

    Raises:
        OSError: it can't be written.
    """
    here = directory / re.sub(r"[^0-9A-Za-z+-]", "-", report.started)
    here.mkdir(parents=True, exist_ok=True)
    data, page = here / JSON, here / "report.md"
    data.write_text(dumps(report), encoding="utf-8")
    _point(directory / "latest", here.name)
    drawn: list[Path] = []
    if importlib.util.find_spec("matplotlib") is None:
        sys.stderr.write("no plots: matplotlib is not installed\n")
    else:
        drawn = plots.draw(report, here)
    page.write_text(markdown(report, [path.name for path in drawn if path.suffix == ".svg"]), encoding="utf-8")
    return [data, page, *drawn]


def _point(link: Path, target: str) -> None:
    """Let a link name a target, and at every moment one that is there."""
    fresh = link.with_name(f".{link.name}-{target}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
