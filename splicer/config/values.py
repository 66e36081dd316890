"""Parsers for durations and sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeVar

from splicer.config.environment import FromEnvironment
from splicer.config.scalars import BadValue, integer_from, show, text

T = TypeVar("T")
U = TypeVar("U")

_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?", re.ASCII)
_DURATION_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_SIZE_LIMIT = 10**12  # of units
_SIZE = re.compile(r"(\d{1,12})(B|KB|KiB|MB|MiB|GB|GiB)", re.ASCII)
_SIZE_UNITS = {"B": 1, "KB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2, "GB": 1000**3, "GiB": 1024**3}


def duration(value: object) -> float:
    """Seconds from "250ms", "3s", "1h30m" (units d h m s ms, in this order), or `math.inf` from "never"."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise BadValue(f'a duration needs a unit; write "{value if 0 < value < 2**63 else 30}s"')
    word = text(value)
    if word == "never":
        return math.inf
    parts = _DURATION.fullmatch(word)
    if word.isdecimal():
        raise BadValue(f"a duration needs a unit; write {show(word + 's')}")
    if parts is None or not word:
        raise BadValue(f'{show(word)} is no duration such as "250ms", "3s", "1h30m" or "never"')
    milliseconds = sum(int(part or 0) * unit for part, (_, unit) in zip(parts.groups(), _DURATION_UNITS, strict=True))
    if not milliseconds:
        raise BadValue(f'{show(word)} is no time at all; write "never" to switch it off')
    return milliseconds / 1000


def format_duration(seconds: float) -> str:
    """Seconds as a person writes them in the file: the inverse of `duration`."""
    if seconds == math.inf:
        return "never"
    rest = round(seconds * 1000)
    words = []
    for unit, milliseconds in _DURATION_UNITS:
        count, rest = divmod(rest, milliseconds)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"


def size_from(minimum: int, maximum: float = math.inf) -> Callable[[object], int]:
    """A parser for bytes, within limits, from an integer or from "32KiB", "10MB" and the like."""
    bounded = integer_from(minimum, maximum)

    def parse(value: object) -> int:
        if isinstance(value, str) and not (isinstance(value, FromEnvironment) and value.isdecimal()):
            parts = _SIZE.fullmatch(text(value))
            if parts is None:
                raise BadValue(f'{show(value)} is no size such as 32768, "32KiB" or "10MiB"')
            value = int(parts[1]) * _SIZE_UNITS[parts[2]]
        return bounded(value)

    return parse


def format_size(size: int) -> int | str:
    """Bytes in the largest unit of which they are a whole number: the inverse of `size_from`."""
    for unit in ("GiB", "MiB", "KiB"):
        count, rest = divmod(size, _SIZE_UNITS[unit])
        if not rest and 0 < count < _SIZE_LIMIT:
            return f"{count}{unit}"
    return size


def unless(word: str, meaning: T, parse: Callable[[object], U]) -> Callable[[object], T | U]:
    """A parser that also accepts one word: "off", "unlimited" ..."""

    def parse_unless(value: object) -> T | U:
        if value == word:
            return meaning
        try:
            return parse(value)
        except BadValue as fault:
            raise BadValue(f"{fault}; or write {show(word)}") from None

    return parse_unless
