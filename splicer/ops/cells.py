"""A value of an answer as a cell of a table: whatever it is, it becomes one short printable text."""

from __future__ import annotations

import math
from typing import Any

from splicer.config.scalars import printable
from splicer.config.values import format_duration

NOTHING = "-"
_MAX_NUMBER = 1e18  # larger than any number that is counted or measured here
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def words(value: Any) -> str:
    """Any value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOTHING if value is None else printable(str(value)) or NOTHING


def number(value: Any) -> float | None:
    """A count or a measure; None: it is none."""
    return value if isinstance(value, int | float) and 0 <= value < _MAX_NUMBER else None


def span(value: Any) -> str:
    """A time in seconds."""
    seconds = number(value)
    return NOTHING if seconds is None else format_duration(math.floor(seconds))


def milliseconds(value: Any) -> str:
    """A time in milliseconds."""
    measured = number(value)
    return NOTHING if measured is None else f"{measured:.1f}ms"


def size(value: Any) -> str:
    """A number of bytes."""
    count = number(value)
    if count is None:
        return NOTHING
    exponent = 0
    while count >= 1000 and exponent < len(_UNITS) - 1:
        count, exponent = count / 1000, exponent + 1
    return f"{count:.1f}{_UNITS[exponent]}" if exponent else f"{count:.0f}B"


def names(value: Any) -> str:
    """A list."""
    return words(",".join(map(str, value)) if isinstance(value, list) else None)
