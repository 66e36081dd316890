"""What the demo tells: plain lines, a little nicer on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAID = ("route", "path", "status", "attempts", "bytes_to_pod", "bytes_to_client", "duration_ms", "closed_by", "reason")
_UNSAID = frozenset({"event", "time", "level"})
_LONGEST = 40  # characters of a path


class Story:
    """Writes to stdout, each line at once."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    def title(self, text: str) -> None:
        """A new chapter."""
        self._console.print(f"\n{text}", style="bold")

    def line(self, text: str = "") -> None:
        """What happens."""
        self._console.print(f"   {text}" if text else "")

    def log(self, entry: Mapping[str, Any]) -> None:
        """A line of the edge's log, shortened."""
        self._console.print(f"   edge log: {shortened(entry)}", style="dim")


def shortened(entry: Mapping[str, Any]) -> str:
    """A log line: of a call or an exchange what a reader of the demo wants, else all but the time."""
    keys = _SAID if "route" in entry else [key for key in entry if key not in _UNSAID]
    words = [f"{key}={_value(key, entry[key])}" for key in keys if entry.get(key) is not None]
    return " ".join([str(entry["event"]), *words])


def _value(key: str, value: Any) -> str:
    if key == "attempts":
        return "; ".join(f"{item['upstream']} {item['endpoint']} {item['failure'] or 'ok'}" for item in value)
    if isinstance(value, list):
        return "; ".join(map(str, value))
    text = str(value)
    return text if key != "path" or len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
