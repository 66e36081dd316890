"""The supervisor's log: lines like the workers', made without structlog."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from splicer.observe.line_writer import LONGEST, LineWriter

_NAME_WIDTH = 30  # characters; as in structlog's console style


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
        time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        if self.style == "json":
            line = json.dumps({"event": event, **fields, "level": level, "time": time}, ensure_ascii=False, default=str)
            if len(line.encode("utf-8", "replace")) >= LONGEST:
                words = json.dumps(fields, ensure_ascii=False, default=str)[: LONGEST // 8]
                line = json.dumps({"event": event, "cut": words, "level": level, "time": time}, ensure_ascii=False)
        else:
            words = " ".join(f"{key}={value}" for key, value in fields.items())
            line = f"{time} [{level:<9}] {event:<{_NAME_WIDTH}} {words}".rstrip()
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
