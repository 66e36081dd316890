"""The question to an authorizer has what says who the client is, and nothing of its body, its upgrade or its lies."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from splicer.http1.forwarded import Forwarding
from splicer.http1.question import chosen, is_sent, question, request_for_authorizer, without
from splicer.http1.request import parse_request
from splicer.model import RequestHead

HEAD = RequestHead("POST", "/x?y", "/x", "y", "edge.test", "1.1", ((b"Host", b"edge.test"),), content_length=5)
FORWARDING = Forwarding("192.0.2.7", "192.0.2.7", "https", "edge.test", "the-id")
WORDS = """
    Cookie authorization X-User x_user Content-Length CONTENT-TYPE Transfer-Encoding Upgrade Connection TE Trailer Via
    Sec-WebSocket-Key Expect If-Match Range X-Original-URI x-original_method X-Forwarded-For X-Real-IP X-Splicer-A
    Forwarded Keep-Alive Max-Forwards
"""
NAMES = st.sampled_from(WORDS.split())
FIELDS = st.lists(st.tuples(NAMES.map(str.encode), st.sampled_from([b"1", b"close, X-User", b"chunked"])), max_size=8)


def written(head: RequestHead, path: str = "/place", send: tuple[str, ...] | None = None) -> RequestHead:
    """The question as the authorizer's parser reads it."""
    raw = request_for_authorizer(head, question(head, path, send), path, FORWARDING, "auth.test:80")
    parsed, _ = parse_request(raw, limit=65536)
    return parsed


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        *((name, True) for name in ("Cookie", "Authorization", "Accept", "X-Content-Type", "User-Agent", "Origin")),
        *(
            (name, False)
            for name in ("Content-Length", "content_type", "Upgrade", "Connection", "TE", "Expect", "Range")
        ),
        *((name, False) for name in ("If-None-Match", "sec-websocket-key", "X-Original-Method", "Trailer")),
    ],
)
def test_what_is_sent(name: str, sent: bool) -> None:
    assert is_sent(name) is sent


@given(fields=FIELDS, method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]), chunked=st.booleans())
def test_a_question_is_a_get_that_tells_the_truth(
    fields: list[tuple[bytes, bytes]], method: str, chunked: bool
) -> None:
    head = evolve(HEAD, method=method, headers=(*HEAD.headers, *fields), chunked=chunked, content_length=None)
    asked = written(head)
    assert (asked.method, asked.target, asked.host, asked.has_body) == ("GET", "/place", "edge.test", False)
    assert asked.values(b"connection") == [b"close"]
    assert asked.values(b"x-original-method") == [method.encode()]
    assert asked.values(b"x-original-uri") == [b"/x?y"]
    assert asked.values(b"x-forwarded-for") == asked.values(b"x-real-ip") == [b"192.0.2.7"]
    assert asked.values(b"x-request-id") == [b"the-id"]
    names = [name.lower().replace(b"_", b"-") for name, _ in asked.headers]
    own = {b"x-original-method", b"connection"}
    assert all(is_sent(name.decode()) for name in names if name not in own)
    for name in (b"host", b"x-original-method", b"x-original-uri", b"forwarded", b"x-splicer-a"):
        assert names.count(name) == (name in (b"host", b"x-original-method", b"x-original-uri"))


@given(fields=FIELDS, send=st.lists(NAMES, max_size=3).map(tuple))
def test_of_the_clients_fields_only_the_named_ones_go_along(
    fields: list[tuple[bytes, bytes]], send: tuple[str, ...]
) -> None:
    every = written(evolve(HEAD, headers=(*HEAD.headers, *fields)))
    some = written(evolve(HEAD, headers=(*HEAD.headers, *fields)), send=send)
    none = written(HEAD)
    named = {name.lower().encode() for name in send}
    assert set(some.headers) <= set(every.headers)
    assert {name.lower() for name, _ in some.headers} <= {name.lower() for name, _ in none.headers} | named
    for header in every.headers:
        assert header in some.headers or header[0].lower() not in named


@pytest.mark.parametrize(
    ("target", "path", "query", "told"),
    [
        ("http://edge.test/admin?a", "/admin", "a", b"/admin?a"),
        ("/place", "/place", None, b"/place"),
        ("/place?", "/place", "", b"/place?"),
        ("*", "*", None, b"*"),
    ],
)
def test_the_target_is_told_in_its_origin_form(target: str, path: str, query: str | None, told: bytes) -> None:
    assert written(evolve(HEAD, target=target, path=path, query=query)).values(b"x-original-uri") == [told]


def test_without_a_host_it_is_the_authorizers() -> None:
    assert written(evolve(HEAD, host="", headers=())).host == "auth.test:80"


def test_fields_are_taken_away_however_they_are_spelt() -> None:
    head = evolve(HEAD, headers=((b"X-User", b"1"), (b"x_user", b"2"), (b"X-USERS", b"3"), (b"Cookie", b"4")))
    assert without(head, ("x-User",)).headers == ((b"X-USERS", b"3"), (b"Cookie", b"4"))
    assert without(head, ()) == head


def test_the_fields_of_an_answer_are_chosen_by_their_exact_names() -> None:
    headers = ((b"x-user", b"a"), (b"X_User", b"b"), (b"X-User", b"c"), (b"X-Other", b"d"))
    assert chosen(headers, ("X-User",)) == ((b"x-user", b"a"), (b"X-User", b"c"))
