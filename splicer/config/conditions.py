"""A route's `headers` and `query`: conditions by the name of a field or parameter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from attrs import evolve

from splicer.config import kinds
from splicer.config.kinds import Kind, Schema
from splicer.config.scalars import BadValue, resolved, show, table_of, text
from splicer.patterns import Condition
from splicer.routing.conditions import ConditionKind, condition

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ELSEWHERE = {
    "host": "write hosts = [...]",
    "x-forwarded-proto": 'anybody can send it; write scheme = "https", which believes trusted_proxies alone',
    "x-forwarded-for": "anybody can send it; write clients = [...], which believes trusted_proxies alone",
    "x-real-ip": "anybody can send it; write clients = [...], which believes trusted_proxies alone",
}
_WAYS = 'a string, true (present), false (absent), { prefix = "..." } or { regex = "..." }'
Check = Callable[[ConditionKind, str], str]

_TABLES: dict[ConditionKind, str] = {
    "prefix": "The beginning of the value.",
    "regex": "An RE2 expression that is searched for in the value.",
}


def _field_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise BadValue("is no header name (RFC 9110 §5.1)")
    if (remedy := _ELSEWHERE.get(name.lower())) is not None:
        raise BadValue(f"is no condition here: {remedy}")
    return name.lower()


def _parameter_name(name: str) -> str:
    if not name:
        raise BadValue("is no name of a parameter")
    return name


# No request can have such a value: http1 refuses control characters, and strips outer spaces.
def _field_text(kind: ConditionKind, word: str) -> str:
    if kind == "regex":
        return word
    if _CONTROL.search(word):
        raise BadValue(f"{show(word)} has a control character, which no header has")
    if word != (word.strip(" \t") if kind == "is" else word.lstrip(" \t")):
        raise BadValue(f"{show(word)} has an outer space, which no header value has; write {show(word.strip())}")
    return word


def _test(value: object, check: Check) -> Condition:
    value = resolved(value)
    match value:
        case bool():
            return condition("", "present" if value else "absent")
        case str():
            return condition("", "is", check("is", text(value)))
        case dict():
            return _table(value, check)
        case _:
            raise BadValue(f"must be {_WAYS}, not {show(value)}")


def _table(value: dict[str, object], check: Check) -> Condition:
    kind = next((kind for kind in _TABLES if list(value) == [kind]), None)
    if kind is None:
        raise BadValue(f"must be {_WAYS}, not a table with {', '.join(map(show, value)) or 'no key'}")
    word = check(kind, text(value[kind]))
    if not word:
        raise BadValue(f"the {kind} is empty and fits any value; write true")
    return condition("", kind, word)


def _parser(parse_name: Callable[[str], str], check: Check) -> Callable[[object], tuple[Condition, ...]]:
    entries = table_of(parse_name, lambda value: _test(value, check))

    def parse(value: object) -> tuple[Condition, ...]:
        tests = tuple(evolve(test, name=name) for name, test in entries(value))
        if not tests:
            raise BadValue("must not be empty: leave the key out for any request")
        names = [test.name for test in tests]
        for name in names:
            if names.count(name) > 1:
                raise BadValue(f"{show(name)} stands there twice: header names are compared without case")
        return tests

    return parse


def _format(tests: tuple[Condition, ...]) -> dict[str, Any] | None:
    return {test.name: _written(test) for test in tests} or None


def _written(test: Condition) -> str | bool | dict[str, str]:
    match test.kind:
        case "present" | "absent":
            return test.kind == "present"
        case "is":
            return test.text
        case _:
            return {test.kind: test.text}


def _brief(tests: tuple[Condition, ...]) -> str:
    return ", ".join(" ".join(filter(None, (test.name, test.kind, test.text))) for test in tests)


def _schema() -> Schema:
    tables = [
        {
            "type": "object",
            "properties": {kind: {"description": doc, "type": "string"}},
            "required": [kind],
            "additionalProperties": False,
        }
        for kind, doc in _TABLES.items()
    ]
    values = kinds.any_of(kinds.TEXT.schema, {"type": "boolean"}, *tables)
    return {"type": "object", "minProperties": 1, "additionalProperties": values}


def _conditions(parse_name: Callable[[str], str], check: Check) -> Kind[tuple[Condition, ...]]:
    return Kind(_parser(parse_name, check), _format, _schema(), "table of conditions", brief=_brief)


HEADER_CONDITIONS = _conditions(_field_name, _field_text)
QUERY_CONDITIONS = _conditions(_parameter_name, lambda _, word: word)
