"""A report as JSON, and back.

The file is ``{"format": "splicer-bench/1", "report": {…}}``, and the report has the names of `bench.model.Report`. A
number that JSON doesn't have is a string: "inf".
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from cattrs import Converter, transform_error

from bench.model import Report

FORMAT = "splicer-bench/1"

_converter = Converter(forbid_extra_keys=True)
_converter.register_unstructure_hook(float, lambda value: value if math.isfinite(value) else str(value))


class NoReport(Exception):
    """A file that can't be read as a report; one line that says which, and why."""


def dumps(report: Report) -> str:
    """The text of a report's file."""
    content = {"format": FORMAT, "report": _converter.unstructure(report)}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def loads(text: str, source: str) -> Report:
    """A report from the text of its file.

    Args:
        text: JSON.
        source: the file's name, for the error.

    Raises:
        NoReport: it is none, or of another format.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoReport(f"{source} is no JSON: {error}") from None
    if not isinstance(content, dict) or "format" not in content or "report" not in content:
        raise NoReport(f"{source} is no report of the bench")
    if content["format"] != FORMAT:
        raise NoReport(f"{source} has the format {content['format']!r}; this bench reads {FORMAT!r}")
    try:
        report = _converter.structure(content["report"], Report)
    except Exception as error:  # noqa: BLE001 - cattrs raises whatever a wrong value leads to
        raise NoReport(f"{source} is no report of the bench: {one_line(error)}") from None
    if empty := next((figure for figure in report.figures if not figure.values), None):
        raise NoReport(f"{source} is no report of the bench: {empty.key} of {empty.peer} has no values")
    return report


def one_line(error: Exception) -> str:
    """The first of the faults that cattrs has found, with its place; "$" is the whole."""
    return " ".join(transform_error(error)[0].split())


def read(path: Path) -> Report:
    """A report from its file.

    Raises:
        NoReport: it is none, or can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise NoReport(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise NoReport(f"{path} is no text") from None
    return loads(text, str(path))
