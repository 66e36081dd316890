"""The supervisor's log: lines like the workers', of any level through one call."""

from __future__ import annotations

import sys
from typing import Any

from splicer.observe.line_writer import LineWriter
from splicer.observe.log_style import output_of_events
from splicer.observe.render import console_line, json_line


class PlainLog:
    """Writes one line per event to stdout, and never waits for the reader.

    Args:
        log_format: a value of ``log.format``.
    """

    def __init__(self, log_format: str = "auto") -> None:
        self._output = output_of_events(log_format)
        self._lines = LineWriter(self._output.fd)

    def use(self, log_format: str) -> None:
        """Write later lines in this format; the configuration has become known."""
        before, self._output = self._output, output_of_events(log_format)
        if self._output.fd != before.fd:
            self._lines.close()
            self.reopen()

    def __call__(self, event: str, level: str = "info", **fields: Any) -> None:
        """Write the line of one event."""
        line = (json_line if self._output.style == "json" else console_line)(event, level, fields)
        self._lines.write(line)

    def die_usage(self, faults: list[str]) -> None:
        """Print to stderr why the command ends, for the person who typed it."""
        for fault in faults:
            print(f"splicer: {fault}", file=sys.stderr)  # noqa: T201 - the command's output

    def reopen(self) -> None:
        """Go on after `close`."""
        self._lines = LineWriter(self._output.fd)

    def close(self, seconds: float = 1.0) -> None:
        """Write the queued lines, for at most `seconds`."""
        self._lines.close(seconds)
