"""The supervisor's log: lines like the workers', of any level through one call."""

from __future__ import annotations

import sys
from typing import Any

from splicer.observe.line_writer import LineWriter
from splicer.observe.render import console_line, json_line


class PlainLog:
    """Writes one line per event to stdout, and never waits for the reader.

    Args:
        style: "json", or "console" for a person; may change once the configuration is known.
    """

    def __init__(self, style: str = "json") -> None:
        self.style = style
        self._lines = LineWriter(sys.stdout.fileno())

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
