"""Lists: their members, and how many there may be."""

from __future__ import annotations

import pytest

from splicer.errors import BadAnswer, HeadTooLarge
from splicer.http1.lists import MOST_MEMBERS, list_members
from splicer.http1.request import parse_request
from splicer.http1.response import ResponseParser
from splicer.model import RequestHead


def test_members_are_in_lower_case_and_empty_ones_are_none() -> None:
    assert list_members([b"A, b ,,\tC d,", b"", b" ,x"]) == (b"a", b"b", b"c d", b"x")
    assert list_members([]) == list_members([b""]) == ()


def test_long_lists_are_split_like_short_ones() -> None:
    assert list_members([b"A" * 100, b"b"]) == (b"a" * 100, b"b")


@pytest.mark.parametrize("name", [b"Connection", b"upgrade"])
@pytest.mark.parametrize("fields", [1, 2])
def test_a_list_has_so_many_members_and_no_more(name: bytes, fields: int) -> None:
    line = name + b": " + b"," * (MOST_MEMBERS // fields - 1) + b"\r\n"

    def request(lines: bytes) -> None:
        parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n", limit=4096)

    def answer(lines: bytes) -> None:
        parser = ResponseParser(RequestHead("GET", "/", "/", None, "a", "1.1", ()), 4096)
        parser.feed(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n")
        assert parser.next_head()

    request(line * fields)
    answer(line * fields)
    with pytest.raises(HeadTooLarge, match="more than 100 members"):
        request(line * fields + name + b":\r\n")
    with pytest.raises(BadAnswer, match="more than 100 members"):
        answer(line * fields + name + b":\r\n")
