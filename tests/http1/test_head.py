"""Where a head ends, and when an incomplete one is beyond hope."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import BadRequest, ClientError, HeadTooLarge, RequestLineTooLong
from splicer.http1.head import LONGEST_LINE, check_partial, find_head_end, forbidden_byte
from splicer.http1.request import parse_request

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: some text\r\n\r\n"
LIMIT = 32768


@pytest.mark.parametrize(
    ("buffer", "end"),
    [
        (b"", -1),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", -1),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", -1),
        (HEAD, len(HEAD)),
        (HEAD + b"body\r\n\r\n", len(HEAD)),
        (b"\r\n\r\n", -1),
        (b"\r\n\r\n\r\n" + HEAD + HEAD, len(HEAD) + 6),
    ],
)
def test_the_end_is_just_past_the_first_blank_line_behind_the_request_line(buffer: bytes, end: int) -> None:
    assert find_head_end(buffer) == end
    assert find_head_end(bytearray(buffer)) == end


@given(st.binary(max_size=20), st.integers(0, len(HEAD) + 8))
def test_searching_on_from_where_the_last_search_stopped_misses_nothing(body: bytes, searched: int) -> None:
    whole = b"\r\n\r\n" + HEAD + body
    searched = min(searched, len(HEAD) + 3)
    assert find_head_end(whole[:searched]) == -1
    assert find_head_end(whole, searched) == len(HEAD) + 4


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS ClientHello
        b"\x00",
        b" GET / HTTP/1.1",
        b"\nGET / HTTP/1.1",
        b"\r\n GET",
        b"\r\n\x80",
        b"\rG",
        b"GET / HTTP/1.1\nHost: a",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET / HTTP/1.1\rHost: a",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded",
        b"GET / HTTP/1.1\r\nHost: a\r\n\tfolded",
        b"GET / HTTP/1.1\r\nHost: a\x00b",
        b"GET / HTTP/1.1\r\nHost: a\x0bb",
        b"GET /\x7f",
        b"\r\n" * 9 + b"GET",
        b"(GET",
    ],
)
def test_what_cannot_become_a_head_is_refused_at_once(garbage: bytes) -> None:
    with pytest.raises(BadRequest):
        check_partial(bytearray(garbage), LIMIT)


def test_tls_on_a_plain_port_is_named() -> None:
    with pytest.raises(BadRequest, match="TLS"):
        check_partial(b"\x16\x03\x01", LIMIT)


@pytest.mark.parametrize("leading", [b"", b"\r\n", b"\r\n\r\n"])
def test_no_prefix_of_a_valid_head_is_refused(leading: bytes) -> None:
    whole = leading + HEAD
    for size in range(len(whole)):
        check_partial(whole[:size], LIMIT)
        check_partial(whole[:size], LIMIT, max(0, size - 1))


def test_a_head_over_the_limit_is_refused_before_it_is_complete() -> None:
    check_partial(b"G" * 100, 100)
    with pytest.raises(HeadTooLarge):
        check_partial(b"G" * 101, 100)


def test_a_request_line_may_be_so_long_before_its_end_is_there() -> None:
    longest = b"\r\n" * 8 + b"G" * LONGEST_LINE
    check_partial(longest, LIMIT)
    check_partial(longest + b"\r", LIMIT)
    check_partial(longest + b"\r\nHost", LIMIT)
    with pytest.raises(RequestLineTooLong, match="8192"):
        check_partial(longest + b"GG", LIMIT)
    with pytest.raises(HeadTooLarge):
        check_partial(longest, LONGEST_LINE)


FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)|\r\n[\t ]")


@given(st.binary() | st.lists(st.sampled_from([b"\r", b"\n", b" ", b"\t", b"\0", b"\x7f", b"a\xff"])).map(b"".join))
def test_a_fault_is_what_a_head_may_not_hold(head: bytes) -> None:
    assert bool(forbidden_byte(head)) == bool(FORBIDDEN.search(head))


@given(st.lists(st.sampled_from([b"\r", b"\n", b" ", b"\t", b"\0", b"a", b":", b"GET / HTTP/1.1\r\n"])).map(b"".join))
def test_judging_only_new_bytes_finds_what_judging_all_would(head: bytes) -> None:
    def refused(*, stepwise: bool) -> int | None:
        for size in range(1, len(head) + 1):
            try:
                check_partial(head[:size], LIMIT, size - 1 if stepwise else 0)
            except ClientError:
                return size
        return None

    assert refused(stepwise=True) == refused(stepwise=False)


@given(st.lists(st.sampled_from([b"\r", b"\n", b" ", b"a", b": b\r\n", b"\x01"])).map(b"".join), st.integers(0, 60))
def test_what_is_refused_early_would_be_refused_whole(noise: bytes, at: int) -> None:
    whole = HEAD[:at] + noise + HEAD[at:]
    end = find_head_end(whole)
    try:
        check_partial(whole[: end - 1], LIMIT)
    except ClientError:
        with pytest.raises(ClientError):
            parse_request(whole[:end], limit=LIMIT)
