"""The logger of workers and of the admin process: each event becomes one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from splicer.observe.line_writer import LineWriter
from splicer.observe.render import console_line, fields_of, json_line, json_line_of

_Render = Callable[[str, str, Mapping[str, Any]], str]
_RenderJson = Callable[[str, str, str], str]


class Logger:
    """Writes events, each with fields.

    Args:
        lines: the writer of its lines.
        render: makes a line of an event, its level and its fields.
        render_json: the same of fields that are JSON already.
    """

    __slots__ = ("_lines", "_render", "_render_json")

    def __init__(self, lines: LineWriter, render: _Render, render_json: _RenderJson) -> None:
        self._lines = lines
        self._render = render
        self._render_json = render_json

    def info(self, event: str, **fields: Any) -> None:
        """Write an event that is in order."""
        self._lines.write(self._render(event, "info", fields))

    def info_json(self, event: str, members: str) -> None:
        """Write an event that is in order; for the lines of each call, whose fields are written as JSON at once.

        Args:
            event: the event.
            members: see `json_line_of`.
        """
        self._lines.write(self._render_json(event, "info", members))

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
    if style == "json":
        return Logger(lines, json_line, json_line_of)
    render = partial(console_line, colors=colors)
    return Logger(lines, render, lambda event, level, members: render(event, level, fields_of(members)))
