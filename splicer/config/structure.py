"""From a TOML table to an attrs object, or to all its faults: cattrs at work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import attrs
from attrs import frozen
from cattrs import BaseValidationError, ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from splicer.config.plain import At, BadValue, closest, resolved, show, suggest

T = TypeVar("T")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_key(key: str) -> str:
    """A key as TOML writes it: in quotes if it needs them."""
    return key if _BARE_KEY.fullmatch(key) else show(key)


@frozen
class Fault:
    """What is wrong at one place of a table.

    Args:
        path: the keys that lead there; empty for the table itself.
        text: the fault and its remedy.
        meant: the key that an unknown one seems to stand for: it isn't missing as well.
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
    """What could be made of a table.

    Args:
        value: built from the keys that have no fault; None if those don't suffice.
        faults: of all the others.
        given: the keys that the table has, or by their spelling was meant to have.
        broken: those of them that have a fault.
    """

    value: T | None
    faults: tuple[Fault, ...]
    given: frozenset[str]
    broken: frozenset[str]


class Reader(Generic[T]):
    """Makes instances of one attrs class from TOML tables.

    Args:
        cls: the class; a field without default is a key that must be there.
        parsers: for each of its fields, what makes the field's value of TOML's, or raises `ValueError`.
    """

    def __init__(self, cls: type[T], **parsers: Callable[[Any], Any]) -> None:
        overrides: dict[str, Any] = {name: override(struct_hook=_hook(parse)) for name, parse in parsers.items()}
        self._known = tuple(parsers)
        self._structure = make_dict_structure_fn(
            cls,
            Converter(),
            _cattrs_forbid_extra_keys=True,
            _cattrs_detailed_validation=True,
            **overrides,
        )
        self._cls = cls

    def __call__(self, table: object) -> T:
        """Make an instance.

        Raises:
            BadValue: it is no table.
            ExceptionGroup: of all its faults.
        """
        table = resolved(table)
        if not isinstance(table, dict):
            raise BadValue(f"must be a table, not {show(table)}")
        return self._structure(table, self._cls)

    def read(self, table: object) -> Reading[T]:
        """Make as much of a table as can be made, and tell all that can't."""
        faults = tuple(self._faults(table))
        if not isinstance(table, dict):
            return Reading(None, faults, frozenset(), frozenset())
        broken = frozenset(_broken_key(fault, table) for fault in faults if fault.path)
        given = frozenset(key for key in self._known if key in table) | broken
        try:
            value = self({key: table[key] for key in given - broken})
        except BaseValidationError:
            return Reading(None, faults, given, broken)
        return Reading(value, faults, given, broken)

    def _faults(self, table: object) -> Iterator[Fault]:
        try:
            self(table)
        except (ValueError, BaseValidationError) as error:
            yield from _walk(error, ())


def _hook(parse: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _: parse(value)


def _broken_key(fault: Fault, table: dict[str, Any]) -> str:
    """The key of a table that a fault spoils."""
    if len(fault.path) == 1 and fault.meant and fault.meant not in table:
        return fault.meant
    return fault.path[0]


def _walk(error: Exception, path: tuple[str, ...]) -> Iterator[Fault]:
    """Every fault within what a `Reader` raised."""
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
