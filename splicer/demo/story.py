"""The demo's output: plain lines, with styles on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splicer.demo.failure import DemoFailed

_SAID = ("route", "path", "status", "attempts", "bytes_to_pod", "bytes_to_client", "duration_ms", "closed_by", "reason")
_UNSAID = frozenset({"event", "time", "level"})
_MAX_CHARACTERS = 40  # characters of a path


class Story:
    """Writes to stdout, each line at once.

    Its methods raise `DemoFailed` when stdout can't be written to.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    def title(self, text: str) -> None:
        """Print a title."""
        self._print(f"\n{text}", "bold")

    def line(self, text: str) -> None:
        """Print a line."""
        self._print(f"   {text}")

    def log(self, entry: Mapping[str, Any]) -> None:
        """Print a line of the edge's log, shortened."""
        self._print(f"   edge log: {shortened(entry)}", "dim")

    def _print(self, text: str, style: str | None = None) -> None:
        try:
            self._console.print(text, style=style)
        except OSError as error:
            raise DemoFailed(f"stdout: {error.strerror}") from error


def shortened(entry: Mapping[str, Any]) -> str:
    """A log line for the demo: the main fields if it is about a call or an exchange, else all but time and level."""
    keys = _SAID if "route" in entry else [key for key in entry if key not in _UNSAID]
    words = [f"{key}={_value(key, entry[key])}" for key in keys if entry.get(key) is not None]
    return " ".join([str(entry["event"]), *words])


def _value(key: str, value: Any) -> str:
    if key == "attempts":
        tries = (f"{item['upstream']} {item['endpoint']} {item['failure'] or 'ok'}" for item in value)
        return f"[{', '.join(tries)}]"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    text = str(value)
    return text if key != "path" or len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 3] + "..."
