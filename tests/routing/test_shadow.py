from __future__ import annotations

import pytest
from hypothesis import given, settings

from splicer.model import Route
from splicer.routing.shadow import shadowed
from tests.kit.laws import examples
from tests.routing.make import EVERY_REQUEST, Kind, make_route, naive_match, route_tables


@settings(max_examples=examples(200), deadline=None)
@given(route_tables())
def test_never_a_false_alarm(routes: tuple[Route, ...]) -> None:
    matched = [naive_match(routes, *request) for request in EVERY_REQUEST]
    assert not any(route in matched for route, _ in shadowed(routes))


@settings(deadline=None)
@given(route_tables())
def test_the_one_that_takes_all_comes_before(routes: tuple[Route, ...]) -> None:
    assert all(taker.index < route.index for route, taker in shadowed(routes))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("prefix", "/a"), ("prefix", "/a")),
        (("prefix", "/a"), ("prefix", "/a/b")),
        (("prefix", "/a/"), ("path", "/a/b")),
        (("prefix", "/ws/"), ("regex", "^/ws/pod/(?<pod>x)")),
        (("regex", "^/[ab]$"), ("path", "/b")),
        (("regex", "^/a"), ("regex", "^/a")),
        (("path", "/a"), ("path", "/a")),
    ],
)
def test_a_pattern_covers_another(earlier: tuple[Kind, str], later: tuple[Kind, str]) -> None:
    first, second = make_route(*earlier), make_route(*later)
    assert shadowed((first, second)) == [(second, first)]
    assert shadowed((make_route(*earlier, hosts=("x",)), second)) == []
    narrowed = make_route(*later, hosts=("a.x",))
    wide = make_route(*earlier, hosts=("*.x", "y"))
    assert shadowed((wide, narrowed)) == [(narrowed, wide)]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("prefix", "/a/b"), ("prefix", "/a")),
        (("path", "/a"), ("prefix", "/a")),
        (("prefix", "/ws/"), ("regex", "/ws/pod")),
        (("prefix", "/ws/"), ("regex", "^/ws/pod|^/x")),
        (("regex", "^/a"), ("prefix", "/a")),
        (("regex", "^/[ab]$"), ("path", "/c")),
    ],
)
def test_a_pattern_does_not_cover_another(earlier: tuple[Kind, str], later: tuple[Kind, str]) -> None:
    assert shadowed((make_route(*earlier), make_route(*later))) == []


@pytest.mark.parametrize(
    ("earlier", "later", "dead"),
    [
        ((), (), True),
        ((), ("GET",), True),
        (("GET",), (), False),
        (("GET",), ("POST",), False),
        (("GET", "POST"), ("POST",), True),
        (("GET",), ("HEAD",), True),
        (("HEAD",), ("GET",), False),
    ],
)
def test_methods_of_one_resource(earlier: tuple[str, ...], later: tuple[str, ...], *, dead: bool) -> None:
    first = make_route("path", "/a", methods=earlier, hosts=("x", "y"))
    second = make_route("path", "/a", methods=later, hosts=("y", "x"))
    assert bool(shadowed((first, second))) is dead


def test_another_resource_never_gets_the_methods_that_the_first_refuses() -> None:
    first, second = make_route(text="/", methods=("GET",)), make_route("path", "/a", methods=("POST",))
    assert shadowed((first, second)) == [(second, first)]


def test_a_route_between_two_of_one_resource_takes_nothing_from_them() -> None:
    first, between = make_route("path", "/a", methods=("GET",)), make_route(text="/")
    assert shadowed((first, between, make_route("path", "/a", methods=("POST",)))) == []
