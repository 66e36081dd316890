from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.errors import BadRequest, MethodNotAllowed, NotFound
from splicer.model import Route
from splicer.routing.normal import cut_out, normal_form
from splicer.routing.table import RouteTable
from tests.routing.make import REQUESTS, Kind, make_route, naive_match, route_tables, spelt


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
        assert match.captures == cut_out(request[2], found.pattern.match(normal_form(request[2])) or {})
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


CLIENTS = (ip_network("10.0.0.0/8"),)
WORDS = st.text("inx@;.", min_size=1, max_size=4)
TAILS = st.text("/inx@;.", max_size=6)
GUARDED: list[tuple[Kind, str, st.SearchStrategy[str]]] = [
    ("path", "/in", st.just("/in")),
    ("prefix", "/in/", TAILS.map("/in/{}".format)),
    ("prefix", "/@in", TAILS.map("/@in{}".format)),
    ("regex", "^/in/(?<x>[^/]+)$", WORDS.map("/in/{}".format)),
    ("regex", "^/[^/]+/x", st.builds("/{}/x{}".format, WORDS, TAILS)),
]


@st.composite
def undecoded(draw: st.DrawFn, path: str) -> str:
    """A path that a server reads as this one if it decodes first, and then merges slashes."""
    pieces = [draw(st.sampled_from([char, f"%{ord(char):02x}", f"%{ord(char):02X}"])) for char in path[1:]]
    return "/".join(["", *draw(st.sampled_from([[], [""]])), "".join(pieces)])


@settings(deadline=None)
@given(st.data(), st.sampled_from(GUARDED), st.sampled_from(["refuse", "forward"]))
def test_no_spelling_of_what_a_route_guards_passes_it(
    data: st.DataObject, guarded: tuple[Kind, str, st.SearchStrategy[str]], encoded_slash: str
) -> None:
    kind, text, paths = guarded
    guard = make_route(kind, text, index=1, encoded_slash=encoded_slash, clients=CLIENTS)
    path = data.draw(paths.flatmap(undecoded))
    try:
        assert table(guard, make_route(index=2)).match("GET", "x", path).route is guard
    except BadRequest:
        assert "%" in path


@settings(deadline=None)
@given(st.data(), route_tables(), REQUESTS)
def test_all_spellings_of_a_path_lead_to_the_same_route(
    data: st.DataObject, routes: tuple[Route, ...], request: tuple[str, str, str]
) -> None:
    method, host, path = request
    other = data.draw(spelt(normal_form(path)))
    assert outcome(routes, method, host, other) == outcome(routes, method, host, path)


def outcome(routes: tuple[Route, ...], method: str, host: str, path: str) -> object:
    try:
        match = RouteTable(routes).match(method, host, path)
    except (NotFound, MethodNotAllowed) as error:
        return type(error)
    assert all(capture in path for capture in match.captures.values())
    return match.route, {name: normal_form(capture) for name, capture in match.captures.items()}


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/files/a%2fb", 'route 1 "files" refuses an encoded slash'),
        ("/files%2fb", 'decoded, the path would belong to route 1 "files"'),
        ("/%40me", 'decoded, the path would belong to route 2 "me"'),
        ("/me/%c3", None),
        ("/me/a%2Fb", None),
        ("/a%2Fb", None),
        ("/x/%2F", None),
    ],
)
def test_what_is_refused_where_routes_guard(path: str, fault: str | None) -> None:
    routes = table(
        make_route(text="/files/", index=1, name="files", encoded_slash="refuse"),
        make_route("path", "/@me", index=2, name="me", clients=CLIENTS),
        make_route(text="/me/", index=3, clients=CLIENTS),
        make_route(text="/", index=4, methods=("GET",)),
    )
    if fault is None:
        assert routes.match("GET", "x", path)
        return
    for method in ("GET", "POST"):
        with pytest.raises(BadRequest, match=f"^{fault}$"):
            routes.match(method, "x", path)


def test_each_method_of_a_resource_says_what_it_refuses() -> None:
    routes = table(
        make_route(text="/a/", name="read", methods=("GET",)),
        make_route(text="/a/", name="write", methods=("PUT",), encoded_slash="refuse"),
    )
    assert routes.match("GET", "x", "/a/b%2Fc").route.name == "read"
    for method in ("PUT", "POST"):
        with pytest.raises(BadRequest, match="write"):
            routes.match(method, "x", "/a/b%2Fc")


def test_captures_keep_their_spelling() -> None:
    routes = table(make_route("regex", "^/ws/(?<pod>[^/]+)(?<rest>/.*)$"))
    match = routes.match("GET", "x", "//%77s/a%2db//%63%2f%e4")
    assert match.captures == {"pod": "a%2db", "rest": "//%63%2f%e4"}
    with pytest.raises(BadRequest, match="inside an encoded byte"):
        table(make_route("regex", "^/(?<a>.)")).match("GET", "x", "/%2F")
