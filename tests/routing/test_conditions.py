from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, settings

from splicer.errors import MethodNotAllowed, NotFound
from splicer.model import Route
from splicer.patterns import Condition
from splicer.routing.conditions import (
    Asked,
    ConditionKind,
    are_met,
    condition,
    conditions_cover,
    conditions_of,
    first_unmet,
)
from splicer.routing.shadow import shadowed
from splicer.routing.table import RouteTable
from tests.kit.laws import examples
from tests.routing.conditional import EVERY_REQUEST, REQUESTS, TESTS, Request, conditional_tables, meets, naive
from tests.routing.make import make_route


def asked(request: Request) -> Asked:
    return Asked(request.headers, request.query, request.scheme, frozenset({b"x"}))


@settings(deadline=None)
@given(conditional_tables(), REQUESTS)
def test_the_answer_is_that_of_trying_every_route_in_file_order(routes: tuple[Route, ...], request: Request) -> None:
    expected = naive(routes, request)
    found: Route | tuple[str, ...] | None
    try:
        found = RouteTable(routes).match(*request.asked).route
    except NotFound:
        found = None
    except MethodNotAllowed as error:
        found = error.allow
    assert found == (tuple(dict.fromkeys(expected)) if isinstance(expected, tuple) else expected)


@settings(deadline=None)
@given(conditional_tables(), REQUESTS)
def test_explain_tells_of_every_route_before_the_match(routes: tuple[Route, ...], request: Request) -> None:
    told = RouteTable(routes).explain(*request.asked)
    expected = naive(routes, request)
    before = routes.index(expected) if isinstance(expected, Route) else len(routes)
    assert [route for route, _ in told] == list(routes[:before])
    assert all(reason for _, reason in told)


@settings(deadline=None)
@given(conditional_tables(), REQUESTS)
def test_what_is_met_is_not_told_as_unmet(routes: tuple[Route, ...], request: Request) -> None:
    for route in routes:
        expected = meets(route, request)
        assert are_met(route, asked(request)) is expected
        assert (first_unmet(route, asked(request)) is None) is expected


@settings(max_examples=examples(200), deadline=None)
@given(conditional_tables())
def test_no_route_that_matches_something_is_said_to_be_shadowed(routes: tuple[Route, ...]) -> None:
    dead = [route for route, _ in shadowed(routes)]
    assert not any(naive(routes, request) in dead for request in EVERY_REQUEST)


@pytest.mark.parametrize("earlier", TESTS, ids=lambda test: f"{test.kind} {test.text}")
@pytest.mark.parametrize("later", TESTS, ids=lambda test: f"{test.kind} {test.text}")
def test_a_condition_covers_another_only_if_it_holds_whenever_that_one_does(
    earlier: Condition, later: Condition
) -> None:
    first, second = make_route(headers=(earlier,)), make_route(headers=(later,))
    if conditions_cover(first, second):
        assert all(meets(first, request) for request in EVERY_REQUEST if meets(second, request))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("present", ""), ("is", "1")),
        (("present", ""), ("prefix", "1")),
        (("present", ""), ("regex", "1")),
        (("prefix", "1"), ("is", "12")),
        (("prefix", "1"), ("prefix", "12")),
        (("regex", "^1"), ("is", "12")),
        (("regex", "^1"), ("regex", "^1")),
        (("absent", ""), ("absent", "")),
    ],
)
def test_a_later_route_with_a_narrower_condition_is_shadowed(
    earlier: tuple[ConditionKind, str], later: tuple[ConditionKind, str]
) -> None:
    first, second = make_route(query=(condition("x", *earlier),)), make_route(query=(condition("x", *later),))
    assert shadowed((first, second)) == [(second, first)]
    assert shadowed((first, evolve(second, query=()))) == []
    assert shadowed((first, make_route(headers=second.query))) == []
    assert shadowed((first, make_route(query=(condition("y", *later),)))) == []


def test_a_scheme_covers_itself_alone() -> None:
    routes = {scheme: make_route(scheme=scheme) for scheme in (None, "http", "https")}
    covers = {(one, other) for one in routes for other in routes if shadowed((routes[one], routes[other]))}
    assert covers == {(one, other) for one in routes for other in routes if one in (None, other)}


def test_routes_that_differ_in_conditions_are_different_resources() -> None:
    read = make_route(name="read", methods=("GET",), headers=(condition("x", "present"),))
    write = make_route(name="write", methods=("POST",))
    table = RouteTable((read, write))
    assert table.match("POST", "a", "/").route is write
    with pytest.raises(MethodNotAllowed) as refused:
        table.match("POST", "a", "/", ((b"X", b"1"),))
    assert refused.value.allow == ("GET", "HEAD")


def test_the_order_of_conditions_makes_no_other_resource() -> None:
    one, other = condition("a", "present"), condition("b", "is", "1")
    assert conditions_of(make_route(headers=(one, other))) == conditions_of(make_route(headers=(other, one)))
    assert conditions_of(make_route(headers=(one,))) != conditions_of(make_route(query=(one,)))
    assert conditions_of(make_route()) == frozenset()


@pytest.mark.parametrize(
    ("route", "told"),
    [
        (make_route(scheme="https"), "scheme is http, not https"),
        (make_route(headers=(condition("x-a", "is", "2"),)), 'header x-a is "1" and "é"; it must be "2"'),
        (make_route(headers=(condition("y", "is", "2"),)), 'header y is absent; it must be "2"'),
        (make_route(headers=(condition("y", "present"),)), "header y is absent; it must be there"),
        (make_route(query=(condition("v", "absent"),)), 'query v is "a b"; it must be absent'),
        (make_route(query=(condition("v", "prefix", "b"),)), 'query v is "a b"; it must begin with "b"'),
        (make_route(query=(condition("v", "regex", "^b$"),)), 'query v is "a b"; it must match ^b$'),
    ],
)
def test_the_condition_that_is_not_met_is_told(route: Route, told: str) -> None:
    headers = ((b"X-A", b"1"), (b"Y-A", b"3"), (b"x-a", b"\xe9"))
    assert first_unmet(route, Asked(headers, "v=a+b", "http", frozenset({b"v"}))) == told


def test_a_value_that_is_no_utf_8_is_searched_too() -> None:
    route = make_route(headers=(condition("x", "regex", "b$"),))
    assert RouteTable((route,)).match("GET", "a", "/", ((b"X", b"\xff\xfeb"),)).route is route


def test_an_expression_of_which_re2_wants_nothing() -> None:
    with pytest.raises(ValueError, match="missing"):
        condition("x", "regex", "(")
