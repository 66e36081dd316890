"""structlog, set up to write one line per event."""

from __future__ import annotations

import json
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from splicer.control.lines import LineWriter

Logger = FilteringBoundLogger

_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str, check_circular=False)


def make_logger(lines: LineWriter, style: str, *, colors: bool = False) -> Logger:
    """A logger.

    Args:
        lines: where its lines go.
        style: "json", or "console" for a person.
        colors: for the console.
    """
    renderer: Any
    if style == "json":
        renderer = structlog.processors.JSONRenderer(lambda event, **_: _ENCODER.encode(event))
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
        )
    return structlog.wrap_logger(  # type: ignore[no-any-return]  # it says Any; bound once here, not at each line
        _Lines(lines),
        processors=[_add_level, structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    ).bind()


class _Lines:
    """What structlog wraps."""

    def __init__(self, lines: LineWriter) -> None:
        self._lines = lines

    def msg(self, line: str) -> None:
        self._lines.write(line)

    debug = info = warning = error = critical = msg


def _add_level(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["level"] = method
    return event
