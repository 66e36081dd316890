"""Request heads: what holds for any fields, any bytes, and any damage."""

from __future__ import annotations

import h11
from hypothesis import example, given
from hypothesis import strategies as st

from splicer.errors import ClientError
from splicer.http1.request import parse_request
from tests.http1.requests import CL, LIMIT, TE, head, parse

TOKENS = st.from_regex(r"\A[-!#$%&'*+.^_`|~0-9A-Za-z]{1,12}\Z").map(str.encode)
VALUES = st.from_regex(rb"\A[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,30}[\x21-\x7e\x80-\xff])?\Z") | st.just(b"")
FIELDS = st.lists(
    st.tuples(TOKENS, VALUES).filter(lambda f: f[0].lower() not in {b"host", b"content-length", b"transfer-encoding"})
)


@given(FIELDS, st.sampled_from([b"", b" ", b" \t "]), st.sampled_from([b"", b"\t ", b" "]))
def test_order_case_and_values_are_kept(fields: list[tuple[bytes, bytes]], before: bytes, after: bytes) -> None:
    raw = head(*(name + b":" + before + value + after for name, value in fields))
    assert parse(raw).headers == ((b"Host", b"a"), *fields)


SOUP = st.lists(
    st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"POST http://b/x HTTP/1.0\r\n",
            b"CONNECT a:1 HTTP/1.1\r\n",
            b"OPTIONS * HTTP/1.1\r\n",
            b"Host: a\r\n",
            CL + b"\r\n",
            TE + b"\r\n",
            b"Upgrade: x\r\nConnection: upgrade\r\n",
            b"Expect: 100-continue\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b":",
            b"\0",
            b"\xff",
            b"x",
            b"%",
            b"[",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(st.binary(max_size=300) | SOUP | SOUP.map(lambda soup: soup + b"\r\n\r\n") | st.binary().map(head))
@example(head(b"a" * 8000 + b":"))
def test_any_bytes_are_a_request_or_a_clear_error(raw: bytes) -> None:
    try:
        parsed, connection = parse_request(raw, limit=LIMIT)
    except ClientError:
        return
    assert connection.their_state is h11.SEND_BODY
    assert parsed.content_length is None or not parsed.chunked
    assert len(parsed.values(b"host")) <= 1
    assert len(parsed.values(b"content-length")) + len(parsed.values(b"transfer-encoding")) <= 1


@given(st.integers(0, 80), st.binary(max_size=3), st.integers(0, 2))
def test_a_damaged_head_is_refused_or_still_one_plain_head(at: int, put: bytes, cut: int) -> None:
    whole = head(CL, b"X-A: b")
    raw = whole[:at] + put + whole[at + cut :]
    try:
        parsed = parse(raw)
    except ClientError:
        return
    lines = raw.lstrip(b"\r\n").split(b"\r\n")
    assert len(parsed.headers) == len(lines) - 3
