"""A report as JSON, and back.

The file is ``{"format": "splicer-bench/1", "report": {…}}``; its keys are the fields of `bench.model.Report`. A
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
    """A file can't be read as a report; the message has one line with its name and the reason."""


def dumps(report: Report) -> str:
    """Serialise a report."""
    content = {"format": FORMAT, "report": _converter.unstructure(report)}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def loads(text: str, source: str) -> Report:
    """A report from the text of its file.

    Args:
        text: JSON.
        source: the file's name, for the error.

    Raises:
        NoReport: the text is not a report, or has another format.
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
    except Exception as error:  # noqa: BLE001 - cattrs raises any error that a wrong value causes
        raise NoReport(f"{source} is no report of the bench: {one_line(error)}") from None
    if empty := next((figure for figure in report.figures if not figure.values), None):
        raise NoReport(f"{source} is no report of the bench: {empty.key} of {empty.peer} has no values")
    return report


def one_line(error: Exception) -> str:
    """The first fault that cattrs has found, with its place; "$" is the whole document."""
    return " ".join(transform_error(error)[0].split())


def read(path: Path) -> Report:
    """A report from its file.

    Raises:
        NoReport: the file is not a report, or can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise NoReport(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise NoReport(f"{path} is no text") from None
    return loads(text, str(path))
