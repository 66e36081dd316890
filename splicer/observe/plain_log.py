"""The supervisor's log: lines like the workers', of any level through one call."""

from __future__ import annotations

import sys
from typing import Any

from splicer.observe.line_writer import LineWriter
from splicer.observe.log_style import style_of
from splicer.observe.render import console_line, json_line


class PlainLog:
    """Writes one line per event to stdout, and never waits for the reader.

    Args:
        log_format: a value of ``log.format``.
    """

    def __init__(self, log_format: str = "auto") -> None:
        self.use(log_format)
        self._lines = LineWriter(sys.stdout.fileno())

    def use(self, log_format: str) -> None:
        """Write later lines in this format; the configuration has become known."""
        self.style = style_of(log_format, sys.stdout.fileno())

    def __call__(self, event: str, level: str = "info", **fields: Any) -> None:
        """Write the line of one event."""
        line = (json_line if self.style == "json" else console_line)(event, level, fields)
        self._lines.write(line)

    def die_usage(self, faults: list[str]) -> None:
        """Print to stderr why the command ends, for the person who typed it."""
        for fault in faults:
            print(f"splicer: {fault}", file=sys.stderr)  # noqa: T201 - the command's output

    def reopen(self) -> None:
        """Go on after `close`."""
        self._lines = LineWriter(sys.stdout.fileno())

    def close(self, seconds: float = 1.0) -> None:
        """Write the queued lines, for at most `seconds`."""
        self._lines.close(seconds)
