"""Converting dataclasses to JSON and back, by the types of their fields.

Two versions of splicer can exchange messages: unknown fields are ignored, missing ones get their default. Any other
difference is an error; a value never has another type than its field.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

_Reader = Callable[[Any, str], Any]  # converts a JSON value; the second argument is its place, for errors


class MalformedError(ValueError):
    """The JSON is no value of the expected type."""


def rest() -> Any:
    """A field ``Mapping[str, object]`` that keeps the unknown fields of a newer version, to pass them on."""
    return dataclasses.field(default_factory=dict, metadata={"rest": True})


def to_json(value: object) -> str:
    """The JSON of a dataclass, or of a value made of dataclasses, enums, bytes and JSON's own types."""
    return json.dumps(value, default=_unfold)


def to_object(value: object) -> dict[str, Any]:
    """A dataclass as a JSON object whose values may still be dataclasses."""
    unfolded: dict[str, Any] = {}
    cls: Any = type(value)
    for name, is_rest in _names(cls):
        if is_rest:
            unfolded.update(getattr(value, name))
        else:
            unfolded[name] = getattr(value, name)
    return unfolded


def from_json(cls: type[T], text: str | bytes) -> T:
    """Make a dataclass from JSON.

    Raises:
        MalformedError: the text is no JSON of this dataclass.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{cls.__name__}: no JSON: {error}") from None
    return from_object(cls, raw)


def from_object(cls: type[T], raw: object) -> T:
    """Make a dataclass from a JSON object.

    Raises:
        MalformedError: a field without default is missing, or a value has the wrong type.
    """
    dataclass: Any = cls
    value: T = _dataclass_reader(dataclass)(raw, cls.__name__)
    return value


def compile_reader(cls: Any) -> None:
    """Compile the reader of a dataclass before its first use."""
    _dataclass_reader(cls)


def _unfold(value: object) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return to_object(value)


@cache
def _names(cls: Any) -> tuple[tuple[str, bool], ...]:
    return tuple((field.name, "rest" in field.metadata) for field in dataclasses.fields(cls))


@cache
def _dataclass_reader(cls: Any) -> _Reader:
    hints = get_type_hints(cls)
    fields = dataclasses.fields(cls)
    readers = [(field.name, _reader(hints[field.name])) for field in fields if "rest" not in field.metadata]
    known = {name for name, _ in readers}
    needed = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    keeper = next((field.name for field in fields if "rest" in field.metadata), None)

    def read(raw: Any, place: str) -> Any:
        if not isinstance(raw, dict):
            raise _wrong(raw, place, "an object")
        if missing := needed - raw.keys():
            raise MalformedError(f"{place}: {', '.join(sorted(missing))} missing")
        values = {name: reader(raw[name], f"{place}.{name}") for name, reader in readers if name in raw}
        if keeper is not None:
            values[keeper] = {name: value for name, value in raw.items() if name not in known}
        return cls(**values)

    return read


def _reader(hint: Any) -> _Reader:
    if hint is object:
        return lambda raw, _: raw
    if isinstance(hint, type) and not get_args(hint):
        return _class_reader(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType and len(arguments) == 2 and NoneType in arguments:
        return _optional_reader(*(_reader(argument) for argument in arguments if argument is not NoneType))
    if origin is tuple and arguments[-1] is Ellipsis:
        return _sequence_reader(_reader(arguments[0]))
    if origin is tuple:
        return _tuple_reader([_reader(argument) for argument in arguments])
    if origin in (dict, Mapping):
        return _mapping_reader(arguments[0], _reader(arguments[1]))
    raise TypeError(f"a message can't have a field of type {hint}")


def _class_reader(cls: type) -> _Reader:
    if dataclasses.is_dataclass(cls):
        return _dataclass_reader(cls)
    if issubclass(cls, Enum):
        return _enum_reader(cls)
    if cls is bytes:
        return _read_bytes
    if cls is float:
        return _read_float
    if cls not in (str, int, bool):
        raise TypeError(f"a message can't have a field of type {cls}")

    def read(raw: Any, place: str) -> Any:
        if type(raw) is not cls:
            raise _wrong(raw, place, cls.__name__)
        return raw

    return read


def _read_float(raw: Any, place: str) -> float:
    if type(raw) is float:
        return raw
    if type(raw) is int:
        try:
            return float(raw)
        except OverflowError:
            pass
    raise _wrong(raw, place, "float")


def _read_bytes(raw: Any, place: str) -> bytes:
    if isinstance(raw, str):
        try:
            return raw.encode("latin-1")
        except UnicodeEncodeError:
            pass
    raise _wrong(raw, place, "bytes as Latin-1")


def _enum_reader(cls: type[Enum]) -> _Reader:
    def read(raw: Any, place: str) -> Enum:
        try:
            return cls(raw)
        except ValueError:
            raise _wrong(raw, place, cls.__name__) from None

    return read


def _optional_reader(reader: _Reader) -> _Reader:
    return lambda raw, place: None if raw is None else reader(raw, place)


def _sequence_reader(reader: _Reader) -> _Reader:
    def read(raw: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            raise _wrong(raw, place, "an array")
        return tuple([reader(value, place) for value in raw])

    return read


def _tuple_reader(readers: list[_Reader]) -> _Reader:
    def read(raw: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(raw, list) or len(raw) != len(readers):
            raise _wrong(raw, place, f"an array of {len(readers)}")
        return tuple([reader(value, place) for reader, value in zip(readers, raw, strict=True)])

    return read


def _mapping_reader(key: type, reader: _Reader) -> _Reader:
    def read(raw: Any, place: str) -> dict[Any, Any]:
        if not isinstance(raw, dict):
            raise _wrong(raw, place, "an object")
        try:
            return {key(name): reader(value, f"{place}[{name!r}]") for name, value in raw.items()}
        except MalformedError:
            raise
        except ValueError:
            raise _wrong(raw, place, f"an object with keys of type {key.__name__}") from None

    return read


def _wrong(raw: Any, place: str, wanted: str) -> MalformedError:
    return MalformedError(f"{place}: {wanted} expected, not {json.dumps(raw)[:100]}")
