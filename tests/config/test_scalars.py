from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from splicer.config.environment import FromEnvironment, Unresolved
from splicer.config.scalars import (
    BadValue,
    boolean,
    choice,
    integer,
    integer_from,
    list_of,
    name,
    show,
    suggest,
    table_of,
    text,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", '"a"'),
        ("x" * 99, f'"{"x" * 59}…"'),
        (3, "3"),
        (1.5, "1.5"),
        (True, "true"),
        ([], "a list"),
        ({}, "a table"),
        (date(2026, 1, 1), "a date or time"),
        (2**70, "a number beyond 64 bits"),
        (float("nan"), "a number beyond 64 bits"),
    ],
)
def test_show(value: object, shown: str) -> None:
    assert show(value) == shown


def test_suggest() -> None:
    assert suggest("lisen", ["listen", "log"]) == '; did you mean "listen"?'
    assert suggest("pdo", ["pod"], "{{{}}}") == "; did you mean {pod}?"
    assert suggest("zzz", ["listen"]) == ""


@pytest.mark.parametrize(
    ("parse", "value", "parsed"),
    [
        (text, "a", "a"),
        (text, FromEnvironment("a"), "a"),
        (name, "pod websocket", "pod websocket"),
        (boolean, True, True),
        (boolean, FromEnvironment("true"), True),
        (boolean, FromEnvironment("false"), False),
        (integer, -3, -3),
        (integer, FromEnvironment("12"), 12),
        (integer_from(1, 3), 3, 3),
        (integer_from(1), 10**12, 10**12),
        (choice("a", "b"), "b", "b"),
        (list_of(text), [], ()),
        (list_of(integer), [1, FromEnvironment("2")], (1, 2)),
        (table_of(str.upper, integer), {"a": 1}, (("A", 1),)),
    ],
)
def test_parse(parse: Callable[[object], Any], value: object, parsed: object) -> None:
    result = parse(value)
    assert result == parsed
    assert type(result) is type(parsed)


@pytest.mark.parametrize(
    ("parse", "value", "fault"),
    [
        (text, 3, "must be a string, not 3"),
        (name, " ", "a name is one line of printable characters, and not empty"),
        (name, "a\nb", "a name is one line of printable characters, and not empty"),
        (boolean, "true", 'must be true or false, not "true"'),
        (boolean, 1, "must be true or false, not 1"),
        (boolean, FromEnvironment("yes"), 'must be true or false, not "yes"'),
        (integer, "3", 'must be an integer, not "3"'),
        (integer, True, "must be an integer, not true"),
        (integer, 1.0, "must be an integer, not 1.0"),
        (integer, FromEnvironment("৩"), 'must be an integer, not "৩"'),
        (integer, FromEnvironment("9" * 5000), f'must be an integer, not "{"9" * 59}…"'),
        (integer, 2**63, "must be an integer, not a number beyond 64 bits"),
        (integer_from(1, 3), 4, "must be between 1 and 3, not 4"),
        (integer_from(1), 0, "must be 1 or more, not 0"),
        (choice("json", "console"), "jso", 'must be one of "json", "console", not "jso"; did you mean "json"?'),
        (list_of(text), "a", 'must be a list; write ["a"]'),
        (list_of(text), {}, "must be a list, not a table"),
        (list_of(text, empty="why"), [], "must not be empty: why"),
        (table_of(str, text), [], "must be a table, not a list"),
    ],
)
def test_a_fault_says_what_and_how(parse: Callable[[object], Any], value: object, fault: str) -> None:
    with pytest.raises(BadValue) as refused:
        parse(value)
    assert str(refused.value) == fault


@pytest.mark.parametrize(
    "parse",
    [text, name, boolean, integer, choice("a"), list_of(text), table_of(str, text)],
    ids=["text", "name", "boolean", "integer", "choice", "list_of", "table_of"],
)
def test_a_string_that_could_not_be_filled_in_tells_its_own_fault(parse: Callable[[object], Any]) -> None:
    with pytest.raises(BadValue, match=r"^NAME is not set$"):
        parse(Unresolved("NAME is not set"))


def test_a_list_tells_the_faults_of_all_its_items() -> None:
    with pytest.raises(ExceptionGroup) as refused:
        list_of(integer)([1, "a", 2, False])
    assert [str(fault) for fault in refused.value.exceptions] == [
        'must be an integer, not "a"',
        "must be an integer, not false",
    ]
