"""Reading a TOML table with cattrs: the result is an attrs object, or all faults of the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import attrs
from attrs import AttrsInstance, frozen
from cattrs import BaseValidationError, ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from splicer.config.keys import Key, keys_of
from splicer.config.kinds import Schema
from splicer.config.scalars import At, BadValue, closest, resolved, show, suggest

T = TypeVar("T", bound=AttrsInstance)

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_key(key: str) -> str:
    """A key as TOML writes it: in quotes if it needs them."""
    return key if _BARE_KEY.fullmatch(key) else show(key)


@frozen
class Fault:
    """A fault at one place of a table.

    Args:
        path: the keys that lead there; empty for the table itself.
        text: the fault and its remedy.
        meant: the key that an unknown key seems to be a misspelling of; it is not reported as missing as well.
    """

    path: tuple[str, ...]
    text: str
    meant: str | None = None

    @property
    def key(self) -> str:
        """The path as TOML writes it."""
        return ".".join(map(toml_key, self.path))


@frozen
class Reading(Generic[T]):
    """The result of reading a table.

    Args:
        value: built from the keys without faults; None if those don't suffice.
        faults: the faults of all other keys.
        given: the keys that the table has, misspelt ones included.
        broken: those of them that have a fault.
    """

    value: T | None
    faults: tuple[Fault, ...]
    given: frozenset[str]
    broken: frozenset[str]


class Reader(Generic[T]):
    """Makes instances of one attrs class from TOML tables.

    Args:
        cls: the class; a field without default is a required key.
        keys: the table's keys, each with the name of its field; a field without a key keeps its default. None: the
            class declares the keys.
    """

    def __init__(self, cls: type[T], keys: dict[str, Key] | None = None) -> None:
        self.keys = keys_of(cls) if keys is None else keys
        overrides: dict[str, Any] = dict.fromkeys(attrs.fields_dict(cls), override(omit=True))
        overrides |= {name: override(struct_hook=_hook(key.kind.parse)) for name, key in self.keys.items()}
        self._structure = make_dict_structure_fn(
            cls,
            Converter(),
            _cattrs_forbid_extra_keys=True,
            _cattrs_detailed_validation=True,
            **overrides,
        )
        self.cls = cls

    def __call__(self, table: object) -> T:
        """Make an instance.

        Raises:
            BadValue: the value is no table.
            ExceptionGroup: all faults of the table.
        """
        table = resolved(table)
        if not isinstance(table, dict):
            raise BadValue(f"must be a table, not {show(table)}")
        return self._structure(table, self.cls)

    def read(self, table: object) -> Reading[T]:
        """Make an instance from the keys without faults, and report the faults of all others."""
        faults = tuple(self._faults(table))
        if not isinstance(table, dict):
            return Reading(None, faults, frozenset(), frozenset())
        broken = frozenset(_broken_key(fault, table) for fault in faults if fault.path)
        given = frozenset(key for key in self.keys if key in table) | broken
        try:
            value = self({key: table[key] for key in given - broken})
        except BaseValidationError:
            return Reading(None, faults, given, broken)
        return Reading(value, faults, given, broken)

    def defaults(self) -> dict[str, Any]:
        """The default of each key in the file's notation, without those that are expressed by leaving the key out."""
        fields = attrs.fields_dict(self.cls)
        values = {name: key.kind.write(fields[name].default) for name, key in self.keys.items() if not key.required}
        return {name: value for name, value in values.items() if value is not None}

    def schema(self, *, defaults: bool = True) -> Schema:
        """The JSON Schema (draft-07) of the table.

        Args:
            defaults: whether to include the default of each key; False for keys that are inherited.
        """
        known = self.defaults() if defaults else {}
        properties = {
            name: {"description": key.doc, **({"default": known[name]} if name in known else {}), **key.kind.schema}
            for name, key in self.keys.items()
        }
        required = [name for name, key in self.keys.items() if key.required]
        dependencies = {name: wanted for name, key in self.keys.items() if (wanted := _dependency(key))}
        return {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            **({"required": required} if required else {}),
            **({"dependencies": dependencies} if dependencies else {}),
        }

    def _faults(self, table: object) -> Iterator[Fault]:
        try:
            self(table)
        except (ValueError, BaseValidationError) as error:
            yield from _walk(error, ())


def _dependency(key: Key) -> list[str] | Schema:
    """The keys that must be present if this one is, as a dependency of JSON Schema; empty if there are none."""
    if not key.beside_any:
        return list(key.beside)
    return {"required": list(key.beside), "anyOf": [{"required": [name]} for name in key.beside_any]}


def _hook(parse: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _: parse(value)


def _broken_key(fault: Fault, table: dict[str, Any]) -> str:
    """The key of a table to which a fault belongs."""
    if len(fault.path) == 1 and fault.meant and fault.meant not in table:
        return fault.meant
    return fault.path[0]


def _walk(error: Exception, path: tuple[str, ...]) -> Iterator[Fault]:
    """Every fault within an error that a `Reader` raised."""
    match error:
        case ClassValidationError():
            noted, others = error.group_exceptions()
            unknown = [fault for other in others for fault in _walk(other, path)]
            for fault, note in noted:
                if not (isinstance(fault, KeyError) and note.name in {key.meant for key in unknown}):
                    yield from _walk(fault, (*path, note.name))
            yield from unknown
        case ExceptionGroup():
            for fault in error.exceptions:
                yield from _walk(fault, path)
        case At():
            yield from _walk(error.fault, (*path, error.key))
        case ForbiddenExtraKeysError():
            known = [field.name for field in attrs.fields(error.cl)]
            for key in sorted(error.extra_fields):
                yield Fault((*path, key), f"unknown key{suggest(key, known)}", next(iter(closest(key, known)), None))
        case KeyError():
            yield Fault(path, "is missing")
        case ValueError():
            yield Fault(path, str(error))
        case _:
            raise error  # a bug in a parser
