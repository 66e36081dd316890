"""The requests that tell configurations apart."""

from __future__ import annotations

import pytest

from splicer.comparison.questions import STRANGER, Question, paths_of, questions
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.routing.table import RouteTable

_ROUTE = '[[routes]]\nname = "it"\nrespond = { status = 204 }\n'


def configured(*routes: str) -> Config:
    return load("".join(f"{_ROUTE.replace('it', str(n))}{keys}\n" for n, keys in enumerate(routes)), environ={})


def taken(config: Config, question: Question) -> str | None:
    """The route that takes it."""
    found = RouteTable(config.routes).match(
        question.method, question.host, question.path, question.headers, question.query, question.scheme
    )
    return found.route.name


def test_a_question_can_be_pasted() -> None:
    plain = Question("GET", "a.test", "/x")
    assert (plain.target, plain.text) == ("/x", "GET /x -H 'Host: a.test'")
    whole = Question("POST", "a.test", "/x", "a=b", ((b"X-A", b"1"), (b"X-B", b"\xe9")), "https")
    assert whole.text == "POST /x?a=b -H 'Host: a.test' -H 'X-A: 1' -H 'X-B: é' (https)"


@pytest.mark.parametrize(
    "keys",
    [
        'path = "/a"',
        'prefix = "/a/"',
        "regex = '^/ws/(?<pod>[a-z]+-[0-9]{1,2})(?<rest>/.*)?$'",
        'prefix = "/"\nhosts = ["*.a.test", "b.test"]',
        'prefix = "/"\nmethods = ["PUT"]',
        'prefix = "/"\nheaders = { X-Kind = "blue", X-There = true }',
        'prefix = "/"\nquery = { v = { regex = "^[0-9]+$" }, w = { prefix = "x&y" } }',
        'prefix = "/"\nheaders = { X-No = false }',
        'prefix = "/"\nquery = { no = false }',
        'prefix = "/"\nquery = { no = false, yes = "1" }',
        'prefix = "/"\nscheme = "https"',
    ],
)
def test_each_kind_of_route_gets_a_request_that_it_takes_and_one_that_it_does_not(keys: str) -> None:
    whole = 'prefix = "/"\nmethods = ["GET", "POST", "OPTIONS", "PUT"]'
    config = configured(keys, whole)
    names = [taken(config, question) for question in questions(configured(keys)) if question.path.startswith("/")]
    assert "0" in names
    assert "1" in names


def test_each_request_is_there_once_whatever_several_routes_want() -> None:
    one, two = configured('path = "/a"', 'path = "/a"\nmethods = ["GET"]'), configured('path = "/a"')
    asked = questions(one, two)
    assert len(asked) == len(set(asked))
    assert set(questions(two)) <= set(asked)


def test_every_host_of_a_route_is_asked_for() -> None:
    asked = questions(configured('path = "/a"\nhosts = ["a.test", "*.b.test"]'))
    assert {question.host for question in asked} == {"a.test", "any.b.test", STRANGER}


def test_every_condition_is_left_out_once() -> None:
    asked = questions(configured('path = "/a"\nheaders = { X-A = "1", X-B = "2" }'))
    kept = {tuple(sorted(name for name, _ in question.headers)) for question in asked}
    lower = {tuple(name.lower() for name in names) for names in kept}
    assert lower == {(b"x-a", b"x-b"), (b"x-a",), (b"x-b",)}


def test_a_path_has_neighbours() -> None:
    [route] = configured('path = "/a"').routes
    assert paths_of(route) == ["/a", "/ax", "/a/x/y"]
    [prefix] = configured('prefix = "/a/"').routes
    assert paths_of(prefix) == ["/a/", "/a/x", "/a", "/a/x/y"]
