"""structlog, set up to write one line per event."""

from __future__ import annotations

import json
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from splicer.observe.line_writer import LONGEST, LineWriter

Logger = FilteringBoundLogger

_CUTS = (1024, 256, 64, 32, 8)  # characters
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str, check_circular=False)


def make_logger(lines: LineWriter, style: str, *, colors: bool = False) -> Logger:
    """Make a logger.

    Args:
        lines: the writer of its lines.
        style: "json", or "console" for a person.
        colors: whether the console style uses colors.
    """
    renderer: Any
    if style == "json":
        renderer = structlog.processors.JSONRenderer(lambda event, **_: _encode(event))
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
    """The logger that structlog wraps: it passes finished lines on."""

    def __init__(self, lines: LineWriter) -> None:
        self._lines = lines

    def msg(self, line: str) -> None:
        self._lines.write(line)

    debug = info = warning = error = critical = msg


# If the writer cut a line, it would no longer be JSON. So the longest values are shortened before.
def _encode(event: EventDict) -> str:
    line = _ENCODER.encode(event)
    for most in _CUTS:
        if len(line) < LONGEST // 4 or len(line.encode("utf-8", "replace")) < LONGEST:
            break
        line = _ENCODER.encode(_shortened(event, most))
    return line


def _shortened(value: Any, most: int) -> Any:
    match value:
        case str() if len(value) > most:
            return value[:most] + "…"
        case dict():
            return {key: _shortened(inner, most) for key, inner in value.items()}
        case list():
            kept = [_shortened(inner, most) for inner in value[:most]]
            return [*kept, f"… {len(value) - most} more"] if len(value) > most else kept
    return value


def _add_level(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["level"] = method
    return event
