from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from splicer.errors import BadRequest
from splicer.model import Match
from splicer.routing.rewrite import climbs, target_path
from tests.routing.make import make_route

PATHS = st.text("ab/%2f. ~", max_size=12).map(lambda text: f"/{text}")
QUERIES = st.none() | st.text("ab=&%2?/ ", max_size=8)


def rewritten(rewrite: str, path: str = "/x", query: str | None = None, **captures: str) -> str:
    return target_path(Match(make_route(rewrite=rewrite), captures), path, query)


def stripped(prefix: str, path: str, query: str | None = None) -> str:
    """What is left of a path that has the prefix, in some spelling."""
    return target_path(Match(make_route(text=prefix, strip_prefix=prefix), {}), path, query)


@given(PATHS, QUERIES)
def test_without_a_rewrite_the_target_stays_as_it_came(path: str, query: str | None) -> None:
    assert target_path(Match(make_route(), {}), path, query) == path + ("" if query is None else f"?{query}")


def test_a_rewrite_is_the_whole_path() -> None:
    assert rewritten("/api/v1/twilio/allocate", "/agent/x", "CallSid=1") == "/api/v1/twilio/allocate?CallSid=1"
    assert rewritten("{rest}", rest="/a%2Fb%20c") == "/a%2Fb%20c"
    assert rewritten("/p/{pod}{rest}", pod="v", rest="/x") == "/p/v/x"


def test_an_empty_query_is_a_query() -> None:
    assert rewritten("/a", query="") == "/a?"


def test_the_query_of_the_rewrite_replaces_the_client_s() -> None:
    assert rewritten("/a?from={pod}", query="x=1", pod="v") == "/a?from=v"


@pytest.mark.parametrize(("rest", "target"), [("", "/"), ("x", "/x"), ("//x", "//x")])
def test_a_slash_is_put_before_if_it_is_missing(rest: str, target: str) -> None:
    assert rewritten("{rest}", rest=rest) == target
    assert rewritten("{rest}?q=1", rest=rest) == f"{target}?q=1"


@pytest.mark.parametrize(
    ("prefix", "path", "target"),
    [
        ("/api/", "/api/x", "/x"),
        ("/api", "/api/x", "/x"),
        ("/api", "/api", "/"),
        ("/api", "/apix%2F", "/x%2F"),
        ("/api/", "/%61p%69/%78", "/%78"),
        ("/api/", "//api//x//y", "/x//y"),
        ("/api", "/api//x", "//x"),
    ],
)
def test_a_prefix_is_taken_off(prefix: str, path: str, target: str) -> None:
    assert stripped(prefix, path) == target
    assert stripped(prefix, path, "q") == f"{target}?q"


@given(st.sampled_from(["{rest}", "/a", "/a{rest}", "/{{{rest}"]), PATHS, QUERIES)
def test_a_rewrite_never_loses_the_query(rewrite: str, rest: str, query: str | None) -> None:
    try:
        target = rewritten(rewrite, query=query, rest=rest)
    except BadRequest:
        assume(False)
    path, mark, kept = target.partition("?")
    assert path.startswith("/")
    assert (kept if mark else None) == query


@pytest.mark.parametrize("rest", ["/..", "../x", "..", ".", "/a/%2e%2E/b", "..%2fx", "/%2E"])
def test_a_cut_that_makes_a_dot_segment_is_refused(rest: str) -> None:
    with pytest.raises(BadRequest, match="dot segment"):
        stripped("/files", f"/files{rest}")
    with pytest.raises(BadRequest, match="dot segment"):
        rewritten("/public/{rest}", rest=rest)


@given(st.text("/.%2eEfFa", max_size=10))
def test_climbs_as_a_pod_would_that_decodes_first(path: str) -> None:
    decoded = f"/{path}".replace("%2e", ".").replace("%2E", ".").replace("%2f", "/").replace("%2F", "/")
    assert climbs(f"/{path}") == any(segment in {".", ".."} for segment in decoded[1:].split("/"))


def test_dots_in_a_query_climb_nowhere() -> None:
    assert rewritten("/a", query="p=/../x") == "/a?p=/../x"
