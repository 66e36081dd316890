"""What the demo tells: plain lines, a little nicer on a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_UNSAID = frozenset({
    "event", "time", "level", "id", "client", "method", "host", "protocol", "pod", "target", "upstream", "attempts",
    "resolve_ms", "connect_ms", "handshake_ms",
})  # fmt: skip
_LONGEST = 48  # characters of a value


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
    """The fields of a log line that a reader of the demo wants."""
    words = [str(entry.get("event"))]
    words += [f"{key}={_value(value)}" for key, value in entry.items() if key not in _UNSAID and value is not None]
    attempts = [
        f"{attempt['upstream']} {attempt['endpoint']} {attempt['failure'] or 'ok'}"
        for attempt in entry.get("attempts", ())
    ]
    if attempts:
        words.append(f"attempts=[{', '.join(attempts)}]")
    return " ".join(words)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
