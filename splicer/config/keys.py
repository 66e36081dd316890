"""The declaration of a key of routing.toml: once, beside the field that holds its value.

The reader, `/config`, the log of a reload, `splicer explain`, the JSON schema and the tables in docs/ are all made from
these declarations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, overload

import attrs
from attrs import AttrsInstance, frozen

from splicer.config.kinds import Kind

T = TypeVar("T")
D = TypeVar("D")

_METADATA = "key"


@frozen
class Key:
    """A key of a table.

    Args:
        kind: the kind of its value.
        doc: one or two plain sentences for users, in Markdown.
        absent: the meaning of the key's absence, for keys whose default can't be written as a value.
        beside: other keys of the table that must be present if this one is.
        beside_any: other keys, of which at least one must be present (and not 0) if this one is.
        required: whether its table must have it.
        fixed: whether a reload does not change it, because it belongs to the processes.
    """

    kind: Kind[Any]
    doc: str
    absent: str = "none"
    beside: tuple[str, ...] = ()
    beside_any: tuple[str, ...] = ()
    required: bool = False
    fixed: bool = False

    def fits(self, values: object) -> bool:
        """Whether a table with these values may have the key.

        Args:
            values: an object with an attribute for each key of the table.
        """
        if any(getattr(values, other) is None for other in self.beside):
            return False
        return not self.beside_any or any(getattr(values, other) not in (None, 0) for other in self.beside_any)

    def brief(self, value: Any) -> str:
        """A value as text for one line of the log, or of `splicer explain`."""
        kind = self.kind
        return (kind.brief(value) if kind.brief and value is not None else _plain(kind.write(value))) or self.absent


def _plain(value: Any) -> str:
    """A TOML value without quotes and brackets."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(map(_plain, value))
        case dict():
            return ", ".join(f"{name} = {_plain(item)}" for name, item in value.items())
        case _:
            return str(value)


@overload
def key(kind: Kind[T], doc: str, *, default: D, **more: Any) -> T | D: ...
@overload
def key(kind: Kind[T], doc: str, **more: Any) -> T: ...
def key(kind: Kind[Any], doc: str, *, default: Any = attrs.NOTHING, **more: Any) -> Any:
    """The attrs field that holds a key's value, with the declaration of the key.

    Args:
        kind: see `Key`.
        doc: see `Key`.
        default: the value if the key is absent, immutable; if not given, the key is required.
        more: the other arguments of `Key`.
    """
    more.setdefault("required", default is attrs.NOTHING)
    return attrs.field(default=default, metadata={_METADATA: Key(kind, doc, **more)})


def keys_of(cls: type[AttrsInstance]) -> dict[str, Key]:
    """The keys that a class declares, in order."""
    return {name: field.metadata[_METADATA] for name, field in attrs.fields_dict(cls).items()}


def written(keys: Mapping[str, Key], values: object) -> dict[str, Any]:
    """A table in the file's notation, with every default written out.

    Args:
        keys: the table's keys.
        values: an object with an attribute for each key.
    """
    table = {}
    for name, key in keys.items():
        value = key.kind.write(getattr(values, name))
        if value is not None and key.fits(values):
            table[name] = value
    return table


def shared(source: AttrsInstance, cls: type[AttrsInstance]) -> dict[str, Any]:
    """The values of an object's fields that a class has under the same names.

    A table is read as an object of a class that declares its keys, and is then converted to a class of `model`. Fields
    that both classes have are copied by name, in both directions.
    """
    return {name: getattr(source, name) for name in attrs.fields_dict(type(source)) if name in attrs.fields_dict(cls)}
