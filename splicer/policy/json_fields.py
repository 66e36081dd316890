"""Fields of JSON whose types nobody has checked: a value of another type counts as none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


def mapping(value: object) -> Mapping[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[Any]:
    """The array, or an empty one; the API server writes an empty array as null."""
    return value if isinstance(value, list) else ()


def text(value: object, longest: int | None = None) -> str | None:
    """The string; None if it is empty, for the API means "unset" by that, or is no text (it has half a surrogate pair).

    Args:
        value: anything.
        longest: a string of more characters counts as none, too.
    """
    if not isinstance(value, str) or not value or (longest is not None and len(value) > longest):
        return None
    return value if value.isascii() or not _SURROGATE.search(value) else None


def boolean(value: object, *, missing: bool) -> bool:
    """The boolean, or `missing`."""
    return value if isinstance(value, bool) else missing
