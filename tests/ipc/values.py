"""Any value of a type that a message may have, for laws."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of this type; fields for what a newer version says besides are left out."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        known = [field.name for field in dataclasses.fields(hint) if "rest" not in field.metadata]
        return st.builds(hint, **{name: values(hints[name]) for name in known})
    if hint is object:
        return st.none() | st.integers() | st.text(max_size=3)
    if hint is float:
        return st.floats(allow_nan=False)  # it equals nothing
    if origin is UnionType:
        return st.none() | values(next(one for one in arguments if one is not NoneType))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is Mapping or origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    return st.from_type(hint)


def sample(hint: Any) -> Any:
    """One value of this type, with something in all its parts."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        known = [field.name for field in dataclasses.fields(hint) if "rest" not in field.metadata]
        return hint(**{name: sample(hints[name]) for name in known})
    if origin is UnionType:
        return sample(next(one for one in arguments if one is not NoneType))
    if origin is tuple:
        return tuple(sample(one) for one in arguments if one is not Ellipsis)
    if origin is Mapping or origin is dict:
        return {sample(arguments[0]): sample(arguments[1])}
    return {str: "text", int: 7, float: 1.5, bool: True, bytes: b"bytes", object: None}[hint]
