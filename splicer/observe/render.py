"""One event as one line: JSON for machines, or words for a person."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from splicer.observe.line_writer import LONGEST

_CUTS = (1024, 256, 64, 32, 8)  # characters
json_text = encode_basestring
"""A text in JSON."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str, check_circular=False)
_NAME_WIDTH = 30  # characters
_NEEDS_QUOTES = frozenset(" \t=\r\n\"'")
_COLORS = {"error": "\x1b[31m", "warning": "\x1b[33m"}
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def json_line(event: str, level: str, fields: Mapping[str, Any]) -> str:
    """A line of JSON, without its newline.

    Args:
        event: the event's name.
        level: "info", "warning" ...
        fields: its values; one that JSON doesn't know is told as text.
    """
    told = {**fields, "event": event, "level": level, "time": _now()}
    line = _ENCODER.encode(told)
    # If the writer cut a line, it would no longer be JSON. So the longest values are shortened before.
    for most in _CUTS:
        if _fits(line):
            return line
        line = _ENCODER.encode(_shortened(told, most))
    if not _fits(line):  # it has very many fields
        line = _ENCODER.encode({"cut": line[: LONGEST // 8], "event": event, "level": level, "time": told["time"]})
    return line


def json_line_of(event: str, level: str, members: str) -> str:
    """The line that `json_line` makes, from fields that are JSON already.

    Args:
        event: the event's name.
        level: "info", "warning" ...
        members: what is between the braces of the object with the fields; there is at least one.
    """
    line = f'{{{members}, "event": "{event}", "level": "{level}", "time": "{_now()}"}}'
    return line if _fits(line) else json_line(event, level, fields_of(members))


def fields_of(members: str) -> dict[str, Any]:
    """The fields of such members."""
    fields: dict[str, Any] = json.loads(f"{{{members}}}")
    return fields


def console_line(event: str, level: str, fields: Mapping[str, Any], *, colors: bool = False) -> str:
    """A line for a person, without its newline.

    Args:
        event: the event's name.
        level: "info", "warning" ...
        fields: its values.
        colors: whether it has ANSI colors.
    """
    words = " ".join(f"{key}={_word(value)}" for key, value in fields.items())
    told, name = f"{level:<9}", f"{event:<{_NAME_WIDTH}}"
    if colors:
        told, name = f"{_COLORS.get(level, '')}{told}{_PLAIN}", f"{_BOLD}{name}{_PLAIN}"
    return f"{_now()} [{told}] {name} {words}".rstrip()


def _fits(line: str) -> bool:
    return len(line) < LONGEST // 4 or len(line.encode("utf-8", "replace")) < LONGEST


def _now() -> str:
    second, micros = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_date_of(second)}.{micros:06}Z"


@lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


# A traceback, or a client's path, must not begin a second line.
def _word(value: Any) -> str:
    text = str(value)
    return repr(text) if not _NEEDS_QUOTES.isdisjoint(text) or not text.isprintable() else text


def _shortened(value: Any, most: int) -> Any:
    match value:
        case str() if len(value) > most:
            return value[:most] + "…"
        case dict():
            return {key: _shortened(inner, most) for key, inner in value.items()}
        case list() | tuple():
            kept = [_shortened(inner, most) for inner in value[:most]]
            return [*kept, f"… {len(value) - most} more"] if len(value) > most else kept
    return value
