"""Between dataclasses and JSON: strict, but for what two versions of splicer may have and have not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given

from splicer.ipc.codec import MalformedError, from_json, from_object, rest, to_json, to_object
from tests.ipc.values import values


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Inner:
    number: int
    word: str = "none"


@dataclass(frozen=True, slots=True)
class Outer:
    flag: bool
    seconds: float
    data: bytes
    colour: Colour
    maybe: int | None
    pair: tuple[str, int]
    many: tuple[Inner, ...]
    by_name: Mapping[str, Inner]
    by_number: dict[int, float]
    anything: object = None
    inner: Inner = field(default_factory=lambda: Inner(1))


@dataclass(frozen=True, slots=True)
class Passing:
    number: int
    more: Mapping[str, object] = rest()


OUTER: dict[str, Any] = json.loads(
    to_json(Outer(True, 1.5, b"\x00\xff", Colour.RED, None, ("a", 1), (Inner(2),), {"x": Inner(3)}, {4: 5.0}))
)


@given(values(Outer))
def test_all_that_is_written_is_read(value: Outer) -> None:
    assert from_json(Outer, to_json(value)) == value


def test_what_it_looks_like() -> None:
    assert OUTER == {
        "flag": True,
        "seconds": 1.5,
        "data": "\x00\xff",
        "colour": "red",
        "maybe": None,
        "pair": ["a", 1],
        "many": [{"number": 2, "word": "none"}],
        "by_name": {"x": {"number": 3, "word": "none"}},
        "by_number": {"4": 5.0},
        "anything": None,
        "inner": {"number": 1, "word": "none"},
    }


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("flag", 1),
        ("flag", None),
        ("seconds", "1"),
        ("seconds", True),
        ("seconds", 10**400),
        ("data", 1),
        ("data", "\u0100"),
        ("colour", "green"),
        ("colour", []),
        ("maybe", "1"),
        ("maybe", 1.0),
        ("maybe", True),
        ("pair", ["a"]),
        ("pair", ["a", 1, 2]),
        ("pair", [1, "a"]),
        ("pair", "a1"),
        ("many", {}),
        ("many", [{}]),
        ("many", [1]),
        ("by_name", []),
        ("by_name", {"x": {"number": None}}),
        ("by_number", {"x": 1.0}),
        ("by_number", {"1": "x"}),
        ("inner", None),
        ("inner", {"number": 1, "word": 2}),
    ],
)
def test_a_value_of_another_type_is_told_with_its_place(name: str, wrong: Any) -> None:
    with pytest.raises(MalformedError, match=rf"^Outer\.{name}"):
        from_object(Outer, {**OUTER, name: wrong})


@pytest.mark.parametrize("name", sorted(OUTER.keys() - {"anything", "inner"}))
def test_a_field_without_a_default_must_be_there(name: str) -> None:
    with pytest.raises(MalformedError, match=rf"\AOuter: {name} missing\Z"):
        from_object(Outer, {key: value for key, value in OUTER.items() if key != name})


def test_one_with_a_default_need_not_be() -> None:
    assert from_object(Inner, {"number": 7}) == Inner(7, "none")


def test_one_that_is_not_known_is_ignored() -> None:
    assert from_object(Inner, {"number": 7, "later": [1]}) == Inner(7)


def test_one_that_is_not_known_may_be_kept_and_passed_on() -> None:
    passing = from_object(Passing, {"number": 7, "later": [1]})
    assert passing == Passing(7, {"later": [1]})
    assert json.loads(to_json(passing)) == to_object(passing) == {"number": 7, "later": [1]}


def test_an_integer_is_a_number_too() -> None:
    for number in (3, 3.0, math.inf):
        value = from_object(Outer, {**OUTER, "seconds": number}).seconds
        assert (value, type(value)) == (number, float)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "1", "[" * 100_000, b"\xff"])
def test_what_is_no_object_is_malformed(text: str | bytes) -> None:
    with pytest.raises(MalformedError, match=r"\AInner"):
        from_json(Inner, text)


@pytest.mark.parametrize("hint", ["list[int]", "int | str", "set[int]", "complex", "Any"])
def test_a_type_that_a_message_can_not_have_is_a_mistake_of_ours(hint: str) -> None:
    cls: Any = dataclass(type("Odd", (), {"__annotations__": {"odd": eval(hint)}}))
    with pytest.raises(TypeError, match="a message can't have a field of type"):
        from_object(cls, {"odd": 1})
