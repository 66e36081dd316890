from __future__ import annotations

import pytest
from hypothesis import given, settings

from splicer.errors import MethodNotAllowed, NotFound
from splicer.model import Route
from splicer.routing.table import RouteTable
from tests.routing.make import REQUESTS, make_route, naive_match, route_tables


def table(*routes: Route) -> RouteTable:
    return RouteTable(routes)


@settings(deadline=None)
@given(route_tables(), REQUESTS)
def test_the_answer_is_that_of_trying_every_route_in_file_order(
    routes: tuple[Route, ...], request: tuple[str, str, str]
) -> None:
    expected = naive_match(routes, *request)
    found: Route | tuple[str, ...] | None
    try:
        match = RouteTable(routes).match(*request)
    except NotFound:
        found = None
    except MethodNotAllowed as error:
        found = error.allow
    else:
        found = match.route
        assert match.captures == found.pattern.match(request[2])
    assert found == (tuple(dict.fromkeys(expected)) if isinstance(expected, tuple) else expected)


@settings(deadline=None)
@given(route_tables(), REQUESTS)
def test_explain_tells_of_every_route_before_the_match(
    routes: tuple[Route, ...], request: tuple[str, str, str]
) -> None:
    told = RouteTable(routes).explain(*request)
    expected = naive_match(routes, *request)
    before = routes.index(expected) if isinstance(expected, Route) else len(routes)
    assert [route for route, _ in told] == list(routes[:before])
    assert all(reason for _, reason in told)


def test_the_first_in_file_order_wins() -> None:
    routes = table(make_route(text="/a/b", name="first"), make_route("path", "/a/b/c"), make_route(text="/"))
    assert routes.match("GET", "x", "/a/b/c").route.name == "first"


def test_captures_are_raw() -> None:
    routes = table(make_route("regex", "^/ws/(?<pod>[^/]+)(?<rest>/.*)$"))
    assert routes.match("GET", "x", "/ws/a%2F/b%20c").captures == {"pod": "a%2F", "rest": "/b%20c"}


def test_a_sibling_takes_the_method_that_the_first_does_not() -> None:
    routes = table(
        make_route("path", "/a", name="read", methods=("GET",)),
        make_route(text="/", name="rest"),
        make_route("path", "/a", name="write", methods=("POST", "PUT")),
        make_route("path", "/a", name="elsewhere", methods=("DELETE",), hosts=("x",)),
    )
    assert routes.match("GET", "h", "/a").route.name == "read"
    assert routes.match("HEAD", "h", "/a").route.name == "read"
    assert routes.match("PUT", "h", "/a").route.name == "write"
    with pytest.raises(MethodNotAllowed) as refused:
        routes.match("DELETE", "x", "/a")
    assert refused.value.allow == ("GET", "HEAD", "POST", "PUT")


def test_nothing_matches() -> None:
    with pytest.raises(NotFound, match="/b"):
        table(make_route("path", "/a")).match("GET", "x", "/b")
    with pytest.raises(NotFound):
        table().match("GET", "", "")


def test_explain() -> None:
    routes = table(
        make_route("path", "/health", index=1, name="health"),
        make_route(text="/api/v1/", index=2, name="api"),
        make_route(text="/ws/", index=3, name="other", hosts=("a.x", "*.b.x")),
        make_route("regex", "^/ws/", index=4, name="ws", methods=("GET",)),
        make_route(text="/", index=5, name="rest"),
        make_route("regex", "^/ws/", index=6, name="ws post", methods=("POST",)),
    )
    assert [(route.name, reason) for route, reason in routes.explain("POST", "C.x:80", "/ws/1")] == [
        ("health", "path /health does not match"),
        ("api", "prefix /api/v1/ does not match"),
        ("other", "host c.x is not among a.x, *.b.x"),
        ("ws", "method POST not allowed (GET, HEAD)"),
        ("rest", 'not tried: the path belongs to route 4 "ws"'),
    ]
    assert len(routes.explain("PUT", "", "/ws/1")) == 6
    assert routes.explain("PUT", "", "/ws/1")[2][1] == "host (none) is not among a.x, *.b.x"
