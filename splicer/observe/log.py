"""The logger of workers and of the admin process: each event becomes one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from splicer.observe.line_writer import LineWriter
from splicer.observe.render import console_line, json_line

_Render = Callable[[str, str, Mapping[str, Any]], str]


class Logger:
    """Writes events, each with fields.

    Args:
        lines: the writer of its lines.
        render: makes a line of an event, its level and its fields.
    """

    __slots__ = ("_lines", "_render")

    def __init__(self, lines: LineWriter, render: _Render) -> None:
        self._lines = lines
        self._render = render

    def info(self, event: str, **fields: Any) -> None:
        """Write an event that is in order."""
        self._lines.write(self._render(event, "info", fields))

    def warning(self, event: str, **fields: Any) -> None:
        """Write an event that somebody should know of."""
        self._lines.write(self._render(event, "warning", fields))

    def error(self, event: str, **fields: Any) -> None:
        """Write an event that somebody must look at."""
        self._lines.write(self._render(event, "error", fields))


def make_logger(lines: LineWriter, style: str, *, colors: bool = False) -> Logger:
    """Make a logger.

    Args:
        lines: the writer of its lines.
        style: "json", or "console" for a person.
        colors: whether the console style uses colors.
    """
    return Logger(lines, json_line if style == "json" else partial(console_line, colors=colors))
