"""The kinds of values of keys: how a value is read and written, and its description in JSON schema and documents."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from attrs import frozen

from splicer.config import addresses, scalars, values
from splicer.config.scalars import BadValue
from splicer.model import Network, authority

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M")
W = TypeVar("W", bound=str)

Schema = dict[str, Any]

REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}  # the environment gives the value, or a part of it


@frozen
class Kind(Generic[T_co]):
    """One kind of value.

    Args:
        parse: converts a TOML value, or raises `BadValue`, or a group of them for several items.
        format: the inverse: a value in TOML's types, as a person would write it.
        schema: JSON Schema (draft-07) of the values that `parse` accepts. It may accept more strings, but no value of
            another type.
        words: its name in the documents.
        unset: the word that stands for None in the file; None: there is no such word.
        brief: formats a value in one line, for the log; None: the result of `format` is short enough.
    """

    parse: Callable[[Any], T_co]
    format: Callable[[Any], Any]
    schema: Schema
    words: str
    unset: str | None = None
    brief: Callable[[Any], str] | None = None

    def write(self, value: object) -> Any:
        """A value in the file's notation; None if it is expressed by leaving the key out."""
        return self.unset if value is None else self.format(value)


def any_of(*schemas: Schema) -> Schema:
    """A schema that accepts whatever one of several schemas accepts."""
    return {"anyOf": [part for schema in schemas for part in schema.get("anyOf", [schema])]}


def unchanged(value: Any) -> Any:
    """The `format` of a value that is written in the file as it is."""
    return value


def text(parse: Callable[[Any], T], words: str, *, pattern: str | None = None) -> Kind[T]:
    """A string.

    Args:
        parse: as in `Kind`; `str` turns its value into the string again.
        words: as in `Kind`.
        pattern: a pattern for the whole string, for the schema; None: the schema accepts any string.
    """
    return Kind(parse, str, {"type": "string"} if pattern is None else _matching(pattern), words)


def _matching(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^({pattern})$|{REFERENCE['pattern']}"}


def integer(minimum: int, maximum: float = math.inf) -> Kind[int]:
    """An integer within limits."""
    words = f"integer, {minimum} or more" if maximum == math.inf else f"integer, {minimum} to {maximum}"
    schema = any_of(_between(minimum, maximum), REFERENCE)
    return Kind(scalars.integer_from(minimum, maximum), unchanged, schema, words)


def _between(minimum: int, maximum: float) -> Schema:
    return {"type": "integer", "minimum": minimum} | ({} if maximum == math.inf else {"maximum": maximum})


def size(minimum: int, maximum: float = math.inf) -> Kind[int]:
    """Bytes, within limits."""
    limits = "" if maximum == math.inf else f", {values.format_size(minimum)} to {values.format_size(int(maximum))}"
    schema = any_of(_between(minimum, maximum), _matching("[0-9]+([KMG]i?)?B"))
    return Kind(values.size_from(minimum, maximum), values.format_size, schema, f"size{limits}")


def choice(*options: W) -> Kind[W]:
    """One of a few words."""
    schema = any_of({"enum": list(options)}, REFERENCE)
    *others, last = (f'`"{option}"`' for option in options)
    return Kind(scalars.choice(*options), unchanged, schema, f"{', '.join(others)} or {last}")


def list_of(item: Kind[T], words: str, *, empty: str | None = None) -> Kind[tuple[T, ...]]:
    """A list.

    Args:
        item: the kind of all items.
        words: the plural name of the items in the documents.
        empty: why an empty list is a fault; None: it is allowed. Where it is a fault, "any" or "none" is expressed by
            leaving the key out.
    """

    def write(items: tuple[T, ...]) -> list[Any] | None:
        return [item.format(value) for value in items] or (None if empty else [])

    schema = {"type": "array", "items": item.schema} | ({"minItems": 1} if empty else {})
    return Kind(scalars.list_of(item.parse, empty=empty), write, schema, f"list of {words}")


def unless(word: str, meaning: M, kind: Kind[T]) -> Kind[T | M]:
    """A kind that also accepts one word: "off", "unlimited" ..."""

    def write(value: Any) -> Any:
        return word if value == meaning else kind.format(value)

    schema = any_of(kind.schema, {"enum": [word]})
    words = f'{kind.words}, or `"{word}"`'
    return Kind(values.unless(word, meaning, kind.parse), write, schema, words, word if meaning is None else None)


def refused(why: str) -> Kind[None]:
    """The kind of a key that belongs to another table: any value is a fault."""

    def parse(_: object) -> None:
        raise BadValue(why)

    return Kind(parse, lambda _: None, {"not": {}}, "")


TEXT = text(scalars.text, "string")
NAME = text(scalars.name, "string", pattern=r"[^\r\n]+")
BOOLEAN = Kind(scalars.boolean, unchanged, any_of({"type": "boolean"}, REFERENCE), "`true` or `false`")

DURATION = Kind(
    values.duration,
    values.format_duration,
    _matching("never|([0-9]+(d|h|m|s|ms))+"),
    "duration",
)

IP = text(addresses.ip, "IP address", pattern="[0-9A-Fa-f:.]+")
NETWORK: Kind[Network] = text(addresses.network, "network", pattern="[0-9A-Fa-f:.]+(%[^/]*)?(/[0-9.]+)?")
LISTEN_ADDRESS = text(addresses.listen_address, "address with a port", pattern=r".*:[0-9]+")
NAMESERVER = Kind(
    addresses.nameserver,
    lambda server: authority(*server),
    _matching(r"[0-9A-Fa-f:.]+|\[[0-9A-Fa-f:.]+\](:[0-9]+)?"),
    "IP address, with a port if it is not 53",
)
FIXED_HOSTS = Kind(
    addresses.fixed_hosts,
    lambda hosts: {name: list(ips) for name, ips in hosts.items()},
    {
        "type": "object",
        "additionalProperties": any_of(IP.schema, {"type": "array", "items": IP.schema, "minItems": 1}),
    },
    "table of names, each with an IP address or a list of them",
)
