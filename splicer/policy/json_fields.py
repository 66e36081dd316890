"""Fields of JSON whose types nobody has checked: a value of another type counts as none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[Any]:
    """The array, or an empty one; the API server writes an empty array as null."""
    return value if isinstance(value, list) else ()


def text(value: object) -> str | None:
    """The string; None if it is empty, for the API means "unset" by that."""
    return value if isinstance(value, str) and value else None


def boolean(value: object, *, missing: bool) -> bool:
    """The boolean, or `missing`."""
    return value if isinstance(value, bool) else missing
