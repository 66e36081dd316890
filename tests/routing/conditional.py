"""Routes with conditions, requests for them, and what a condition means."""

from __future__ import annotations

import itertools
import re
from urllib.parse import parse_qsl

from attrs import frozen
from hypothesis import strategies as st

from splicer.model import Headers, Route
from splicer.patterns import Condition
from splicer.routing.conditions import condition
from tests.routing.make import METHODS, make_route, naive_match

TESTS = [
    *(condition("x", "is", text) for text in ("", "1", "12", "2")),
    *(condition("x", "prefix", text) for text in ("1", "12")),
    *(condition("x", "regex", text) for text in ("^1", "2$", "^$")),
    condition("x", "present"),
    condition("x", "absent"),
]
FEW_TESTS = st.sampled_from([(), (), *((test,) for test in TESTS)])
SCHEMES = st.sampled_from([None, None, "http", "https"])


@frozen
class Request:
    """What a route table is asked."""

    method: str
    path: str
    headers: Headers
    query: str | None
    scheme: str

    @property
    def asked(self) -> tuple[str, str, str, Headers, str | None, str]:
        """The arguments of `RouteTable.match`."""
        return self.method, "a.x", self.path, self.headers, self.query, self.scheme


EVERY_REQUEST = [
    Request(*parts)
    for parts in itertools.product(
        ["GET", "POST"],
        ["/a", "/a/b"],
        [(), ((b"X", b"1"),), ((b"x", b"12"), (b"X", b"2")), ((b"X", b""),), ((b"Y", b"1"),)],
        [None, "", "x", "x=1&x=2", "y=1&%78=1%32", "x=+"],
        ["http", "https"],
    )
]
REQUESTS = st.sampled_from(EVERY_REQUEST)


@st.composite
def conditional_tables(draw: st.DrawFn) -> tuple[Route, ...]:
    """Routes that often want the same requests, and differ in their conditions."""
    return tuple(
        make_route(
            text=draw(st.sampled_from(["/", "/a", "/a/b"])),
            name=f"route {index}",
            index=index,
            methods=draw(METHODS),
            scheme=draw(SCHEMES),
            headers=draw(FEW_TESTS),
            query=draw(FEW_TESTS),
        )
        for index in range(1, draw(st.integers(1, 6)) + 1)
    )


def naive(routes: tuple[Route, ...], request: Request) -> Route | tuple[str, ...] | None:
    """As `naive_match`, with conditions."""
    return naive_match(routes, request.method, "a.x", request.path, lambda route: meets(route, request))


def meets(route: Route, request: Request) -> bool:
    """Whether a request meets all conditions, in the plainest words."""
    headers = {
        test.name: [v.decode() for k, v in request.headers if k.decode().lower() == test.name] for test in route.headers
    }
    pairs = parse_qsl(request.query or "", keep_blank_values=True)
    query = {test.name: [value for name, value in pairs if name == test.name][:1] for test in route.query}
    return (
        route.scheme in (None, request.scheme)
        and all(passes(test, headers[test.name]) for test in route.headers)
        and all(passes(test, query[test.name]) for test in route.query)
    )


def passes(test: Condition, values: list[str]) -> bool:
    """Whether one of the values fits, or for "absent" none is there."""
    match test.kind:
        case "absent":
            return values == []
        case "present":
            return values != []
        case "is":
            return test.text in values
        case "prefix":
            return any(value.startswith(test.text) for value in values)
        case _:
            return any(re.search(test.text, value) for value in values)
