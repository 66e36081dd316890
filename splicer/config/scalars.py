"""Parsers for TOML's own types. They are strict: "3" is no integer.

Here and in `values`, `addresses` and the like, a parser takes a value of TOML, and raises `BadValue` if it is invalid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from splicer.config.environment import FromEnvironment, Unresolved

T = TypeVar("T")
K = TypeVar("K")
W = TypeVar("W", bound=str)

_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_LONGEST_NAME = 100
_SHOWN = 60  # characters of a value in a fault


class BadValue(ValueError):
    """A value that can't be used; its text is the fault and the remedy, and is printed after a key and a colon."""


class At(BadValue):
    """The fault of one entry in a table.

    Args:
        key: the entry's key.
        fault: a ValueError, or a group of them.
    """

    def __init__(self, key: str, fault: Exception) -> None:
        super().__init__(key, fault)
        self.key = key
        self.fault = fault


def show(value: object) -> str:
    """A TOML value as it is shown in a fault."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value[: _SHOWN - 1]}…"' if len(value) > _SHOWN else f'"{value}"'
        case int() | float():
            return str(value) if abs(value) < 2**63 else "a number beyond 64 bits"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def closest(word: str, known: Iterable[str]) -> list[str]:
    """The known word that a misspelt word resembles most, as a list; [] if none is similar."""
    from difflib import get_close_matches  # a file without faults does not need it

    return get_close_matches(word, list(known), n=1)


def suggest(word: str, known: Iterable[str], form: str = '"{}"') -> str:
    """The end of a fault about an unknown word: "; did you mean ...?", or nothing."""
    return "".join(f"; did you mean {form.format(near)}?" for near in closest(word, known))


def resolved(value: T) -> T:
    """The value itself; raises if it is a string that couldn't be filled in from the environment."""
    if isinstance(value, Unresolved):
        raise BadValue(value)
    return value


def text(value: object) -> str:
    """A string."""
    value = resolved(value)
    if not isinstance(value, str):
        raise BadValue(f"must be a string, not {show(value)}")
    return str(value)


def name(value: object) -> str:
    """The name of a route or upstream, for logs and faults."""
    word = text(value)
    if not word.strip() or not word.isprintable():
        raise BadValue("a name is one line of printable characters, and not empty")
    if len(word) > _LONGEST_NAME:
        raise BadValue(f"a name has at most {_LONGEST_NAME} characters, not {len(word)}")
    return word


def printable(text: str) -> str:
    """Escape everything but printable characters, so that the text is one line and holds no terminal commands."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def boolean(value: object) -> bool:
    """True or false; a reference to the environment may give it as a word."""
    value = resolved(value)
    if isinstance(value, FromEnvironment) and value in {"true", "false"}:
        return value == "true"
    if not isinstance(value, bool):
        raise BadValue(f"must be true or false, not {show(value)}")
    return value


def integer(value: object) -> int:
    """An integer, but no float or boolean; a reference to the environment may give it in digits."""
    value = resolved(value)
    if isinstance(value, FromEnvironment) and _INTEGER.fullmatch(value):
        return int(value)
    if type(value) is not int or abs(value) >= 2**63:
        raise BadValue(f"must be an integer, not {show(value)}")
    return value


def integer_from(minimum: int, maximum: float = math.inf) -> Callable[[object], int]:
    """A parser for an integer within limits."""

    def parse(value: object) -> int:
        number = integer(value)
        if not minimum <= number <= maximum:
            limits = f"{minimum} or more" if maximum == math.inf else f"between {minimum} and {maximum}"
            raise BadValue(f"must be {limits}, not {number}")
        return number

    return parse


def choice(*options: W) -> Callable[[object], W]:
    """A parser for one of a few words."""

    def parse(value: object) -> W:
        word = text(value)
        for option in options:
            if option == word:
                return option
        known = ", ".join(show(option) for option in options)
        raise BadValue(f"must be one of {known}, not {show(word)}{suggest(word, options)}")

    return parse


def list_of(parse_item: Callable[[object], T], *, empty: str | None = None) -> Callable[[object], tuple[T, ...]]:
    """A parser for a list; it reports the faults of all items at once.

    Args:
        parse_item: parses one item.
        empty: why there must be at least one item; None: the list may be empty.
    """

    def parse(value: object) -> tuple[T, ...]:
        if isinstance(value, str):
            raise BadValue(f"must be a list; write [{show(text(value))}]")
        if not isinstance(value, list):
            raise BadValue(f"must be a list, not {show(value)}")
        if not value and empty:
            raise BadValue(f"must not be empty: {empty}")
        return tuple(each(parse_item, value))

    return parse


def each(parse_item: Callable[[Any], T], items: Iterable[object]) -> list[T]:
    """Parse all items.

    Raises:
        ExceptionGroup: the faults of all items that can't be parsed.
    """
    parsed, faults = [], []
    for item in items:
        try:
            parsed.append(parse_item(item))
        except (ValueError, ExceptionGroup) as fault:
            faults.append(fault)
    if faults:
        raise ExceptionGroup("items", faults)
    return parsed


def table_of(
    parse_key: Callable[[str], K], parse_value: Callable[[object], T]
) -> Callable[[object], tuple[tuple[K, T], ...]]:
    """A parser for a table whose keys the user chooses; it reports the faults of all entries at once."""

    def parse_entry(entry: tuple[str, object]) -> tuple[K, T]:
        key, value = entry
        try:
            return parse_key(key), parse_value(value)
        except (ValueError, ExceptionGroup) as fault:
            raise At(key, fault) from None

    def parse(value: object) -> tuple[tuple[K, T], ...]:
        value = resolved(value)
        if not isinstance(value, dict):
            raise BadValue(f"must be a table, not {show(value)}")
        return tuple(each(parse_entry, value.items()))

    return parse
