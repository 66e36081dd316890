"""Times and sizes of other proxies (nginx: https://nginx.org/en/docs/syntax.html)."""

from __future__ import annotations

import math
import re

from splicer.config.values import format_duration, format_size

_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|M|y)?\s*")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
_SIZE = re.compile(r"(\d+)([kKmMgG]?)")
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def seconds_of(text: str) -> float | None:
    """The seconds of a time; a number alone is seconds; None: it is no time."""
    if re.fullmatch(rf"(?:{_TIME.pattern})+", text) is None:
        return None
    return float(sum(float(number) * _SECONDS[unit or "s"] for number, unit in _TIME.findall(text)))


def duration(seconds: float) -> str:
    """Seconds as routing.toml writes them; 0, which switches a deadline off in nginx and Envoy, is "never"."""
    return format_duration(seconds if seconds > 0 else math.inf)


def size_of(text: str) -> int | str | None:
    """A size as routing.toml writes it; 0 is "unlimited"; None: it is no size."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    size = int(found[1]) * _BYTES[found[2].lower()]
    return format_size(size) if size else "unlimited"
