"""The conditions of a route: tests of a request's scheme, header fields and query, after its path and host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from splicer.model import Headers, Route
from splicer.patterns import Condition
from splicer.routing.pattern import compile_regex
from splicer.routing.query import first_values

ConditionKind = Literal["is", "prefix", "regex", "present", "absent"]
Test = Callable[[Sequence[bytes]], bool]


class Asked:
    """The parts of a request that conditions test, each prepared when it is first needed.

    Args:
        headers: all fields.
        query: the text after the first "?", or None without one.
        scheme: "http" or "https".
        parameters: the names of the parameters that may be asked for.
    """

    __slots__ = ("_fields", "_found", "_headers", "_parameters", "_query", "scheme")

    def __init__(self, headers: Headers, query: str | None, scheme: str, parameters: frozenset[bytes]) -> None:
        self.scheme = scheme
        self._headers = headers
        self._query = query
        self._parameters = parameters
        self._fields: dict[bytes, list[bytes]] | None = None
        self._found: dict[bytes, bytes] | None = None

    def fields(self, name: str) -> Sequence[bytes]:
        """The values of all lines of a field; `name` in lower case."""
        if self._fields is None:
            self._fields = {}
            for key, value in self._headers:
                self._fields.setdefault(key.lower(), []).append(value)
        return self._fields.get(name.encode(), ())

    def parameter(self, name: str) -> Sequence[bytes]:
        """The first value of a parameter of the query, decoded; () if it has none."""
        if self._found is None:
            self._found = {} if self._query is None else first_values(self._query, self._parameters)
        value = self._found.get(name.encode())
        return () if value is None else (value,)


def condition(name: str, kind: ConditionKind, text: str = "") -> Condition:
    """Make a condition; a field with several lines passes if one of them does.

    Args:
        name: see `Condition`.
        kind: see `Condition`.
        text: see `Condition`; for "regex" in RE2 syntax, which is searched for, so its time is linear.

    Raises:
        ValueError: RE2 refuses the expression (the message is RE2's).
    """
    return Condition(name, kind, text, _test(kind, text))


def _test(kind: ConditionKind, text: str) -> Test:
    wanted = text.encode()
    match kind:
        case "present":
            return bool
        case "absent":
            return lambda values: not values
        case "is":
            return lambda values: wanted in values
        case "prefix":
            return lambda values: any(value.startswith(wanted) for value in values)
        case "regex":
            search = compile_regex(text).search
            return lambda values: any(search(value) is not None for value in values)


def are_met(route: Route, asked: Asked) -> bool:
    """Whether a request meets all conditions of a route."""
    if route.scheme is not None and route.scheme != asked.scheme:
        return False
    for test in route.headers:
        if not test.holds(asked.fields(test.name)):
            return False
    for test in route.query:  # noqa: SIM110 - a loop: this runs for every request, and all() costs a generator
        if not test.holds(asked.parameter(test.name)):
            return False
    return True


def first_unmet(route: Route, asked: Asked) -> str | None:
    """The first condition of a route that a request does not meet, and what the request has, in words."""
    if route.scheme is not None and route.scheme != asked.scheme:
        return f"scheme is {asked.scheme}, not {route.scheme}"
    for what, tests, values in (("header", route.headers, asked.fields), ("query", route.query, asked.parameter)):
        for test in tests:
            if not test.holds(has := values(test.name)):
                return f"{what} {test.name} {_shown(has)}; it must {_WORDS[test.kind].format(test.text)}"
    return None


_WORDS = {
    "present": "be there",
    "absent": "be absent",
    "is": 'be "{}"',
    "prefix": 'begin with "{}"',
    "regex": "match {}",
}


def _shown(values: Sequence[bytes]) -> str:
    return "is " + " and ".join(f'"{value.decode("latin-1")}"' for value in values) if values else "is absent"


def conditions_of(route: Route) -> frozenset[object]:
    """The conditions of a route, to compare routes by them; empty if it has none."""
    scheme = [] if route.scheme is None else [route.scheme]
    return frozenset(
        (*scheme, *(("header", test) for test in route.headers), *(("query", test) for test in route.query))
    )


def conditions_cover(earlier: Route, later: Route) -> bool:
    """Whether every request that meets the conditions of `later` surely meets those of `earlier`."""
    return (
        earlier.scheme in {None, later.scheme}
        and _each_follows(earlier.headers, later.headers)
        and _each_follows(earlier.query, later.query)
    )


def _each_follows(wanted: tuple[Condition, ...], known: tuple[Condition, ...]) -> bool:
    return all(any(_follows(test, fact) for fact in known) for test in wanted)


def _follows(test: Condition, fact: Condition) -> bool:
    if test == fact:
        return True
    if test.name != fact.name or "absent" in {test.kind, fact.kind}:
        return False
    if test.kind == "present" or fact.kind == "is":
        return test.kind == "present" or test.holds((fact.text.encode(),))
    return test.kind == fact.kind == "prefix" and fact.text.startswith(test.text)
