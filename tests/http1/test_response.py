"""A pod's answer: strict heads, framed bodies, and whether the connection may be used again."""

from __future__ import annotations

import pytest

from splicer.errors import BadAnswer, PodClosed
from splicer.http1.body import EndOfBody
from splicer.http1.head import MOST_FIELDS
from splicer.http1.response import ResponseParser
from splicer.model import RequestHead, ResponseHead
from tests.http1.answers import CL, LIMIT, OK, TE, Told, parser, request, tell


def test_a_head_keeps_order_and_case() -> None:
    answer = parser()
    told = tell(answer, OK + b"sERVER: x\r\nX-A:1\r\n" + CL + b"x-a: \t2 \r\n\r\nhello")
    assert told.heads == [
        ResponseHead(200, b"OK", "1.1", ((b"sERVER", b"x"), (b"X-A", b"1"), (b"Content-Length", b"5"), (b"x-a", b"2")))
    ]
    assert (told.body, told.trailers, answer.trailing, answer.reusable) == (b"hello", (), b"", True)


@pytest.mark.parametrize("line", [b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n"])
def test_a_reason_may_be_missing(line: bytes) -> None:
    assert tell(parser(), line + CL + b"\r\n").heads[0].reason == b""


@pytest.mark.parametrize("status", [b"200", b"103"])
def test_a_head_may_have_so_many_fields_and_no_more(status: bytes) -> None:
    raw = b"HTTP/1.1 " + status + b" \r\n" + b"a:\r\n" * MOST_FIELDS
    assert len(tell(parser(), raw + b"\r\n").heads[0].headers) == MOST_FIELDS
    with pytest.raises(BadAnswer, match="129 fields, 128 allowed"):
        tell(parser(), raw + b"a:\r\n\r\n")


def test_chunks_and_trailers() -> None:
    answer = parser()
    told = tell(answer, OK + TE + b"\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert (told.body, told.trailers) == (b"hello!", ((b"X-Sum", b"1"),))
    assert answer.reusable
    assert answer.next_body() == EndOfBody(((b"X-Sum", b"1"),))


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_without_framing_the_stream_s_end_is_the_body_s(version: bytes) -> None:
    answer = parser()
    told = tell(answer, b"HTTP/%s 200 OK\r\n\r\nhel" % version, b"lo")
    assert (told.body, told.trailers) == (b"hello", None)
    told = tell(parser(), b"HTTP/%s 200 OK\r\n\r\nhel" % version, b"lo", eof=True)
    assert (told.body, told.trailers) == (b"hello", ())


def test_informational_heads_come_before_the_final_one() -> None:
    told = tell(
        parser(), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + CL + b"\r\nhello"
    )
    assert [head.status for head in told.heads] == [100, 103, 200]
    assert told.body == b"hello"


@pytest.mark.parametrize("fields", [CL, TE, CL + TE, CL + CL, b"Content-Length: x\r\n", b"Transfer-Encoding: x\r\n"])
def test_an_informational_head_frames_no_body(fields: bytes) -> None:
    told = tell(parser(), b"HTTP/1.1 103 Early\r\n" + fields + b"\r\n" + OK + CL + b"\r\nhello")
    assert [head.status for head in told.heads] == [103, 200]
    assert told.body == b"hello"
    answer = parser(protocol="websocket")
    told = tell(answer, b"HTTP/1.1 101 X\r\n" + fields + b"\r\n5\r\nhello")
    assert [head.status for head in told.heads] == [101]
    assert answer.trailing == b"5\r\nhello"


def test_so_many_informational_heads_come_and_no_more() -> None:
    early = b"HTTP/1.1 103 Early\r\n\r\n"
    assert tell(parser(), early * 16 + OK + CL + b"\r\nhello").body == b"hello"
    with pytest.raises(BadAnswer, match="16 informational"):
        tell(parser(), early * 17 + OK + CL + b"\r\nhello")


@pytest.mark.parametrize(
    "lines", [CL + CL, CL + b"X: 1\r\ncontent-length:5\r\n" + CL, b"Content-Length: 5, 5\r\n", CL + b"A: b\r\n" + CL]
)
def test_a_length_that_is_said_twice_alike_is_one(lines: bytes) -> None:
    answer = parser()
    told = tell(answer, OK + lines + b"\r\nhello")
    assert (told.body, answer.reusable) == (b"hello", True)
    assert told.heads[0].values(b"content-length") == [b"5"]
    assert told.heads[0].headers[0] == (b"Content-Length", b"5")
    assert len(told.heads[0].headers) == 1 + lines.count(b"X:") + lines.count(b"A:")


@pytest.mark.parametrize(
    ("method", "status", "framing"),
    [("HEAD", b"200", CL), ("HEAD", b"200", TE), ("HEAD", b"200", b""), ("GET", b"304", CL), ("GET", b"204", b"")],
)
def test_no_body_follows_whatever_the_head_announces(method: str, status: bytes, framing: bytes) -> None:
    answer = parser(method)
    told = tell(answer, b"HTTP/1.1 " + status + b" X\r\n" + framing + b"\r\n")
    assert (told.body, told.trailers, answer.reusable) == (b"", (), True)


def test_a_101_that_was_asked_for_leaves_the_first_bytes_of_the_tunnel() -> None:
    answer = parser(protocol="websocket")
    told = tell(answer, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05he", b"llo\r\n\r\n")
    assert told.heads[0].status == 101
    assert answer.trailing == b"\x81\x05hello\r\n\r\n"
    assert not answer.reusable


def test_an_upgrade_may_be_declined() -> None:
    answer = parser(protocol="websocket")
    assert tell(answer, OK + CL + b"\r\nhello").body == b"hello"
    assert answer.reusable


BAD = {
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "CL and TE": OK + CL + TE + b"\r\n",
    "CL twice": OK + CL + CL.replace(b"5", b"6") + b"\r\n",
    "CL list": OK + b"Content-Length: 5, 6\r\n\r\n",
    "CL list with nothing": OK + b"Content-Length: 5,\r\n\r\n",
    "CL and 0CL": OK + CL + b"Content-Length: 05\r\n\r\n",
    "CL of letters twice": OK + b"Content-Length: x, x\r\n\r\n",
    "CL twice and TE": OK + CL + CL + TE + b"\r\n",
    "CL signed": OK + b"Content-Length: +5\r\n\r\n",
    "CL underscore": OK + b"Content-Length: 5_0\r\n\r\n",
    "CL huge": OK + b"Content-Length: 99999999999999999999\r\n\r\n",
    "CL empty": OK + b"Content-Length:\r\n\r\n",
    "TE other": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "TE twice": OK + TE + TE + b"\r\n",
    "TE in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + TE + b"\r\n",
    "bare LF": OK.replace(b"\r", b"") + b"\n",
    "one bare LF": OK + b"A: b\nC: d\r\n\r\n",
    "bare CR": OK + b"A: b\rC: d\r\n\r\n",
    "NUL": OK + b"A: \0\r\n\r\n",
    "control": OK + b"A: \x01\r\n\r\n",
    "fold": OK + b"A: b\r\n c\r\n\r\n",
    "space before colon": OK + b"A : b\r\n\r\n",
    "no name": OK + b": b\r\n\r\n",
    "no colon": OK + b"A\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "http/1.1": b"http/1.1 200 OK\r\n\r\n",
    "ICY": b"ICY 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status 0xx": b"HTTP/1.1 099 X\r\n\r\n",
    "status of 4 digits": b"HTTP/1.1 2000 X\r\n\r\n",
    "tab for space": b"HTTP/1.1\t200 OK\r\n\r\n",
    "leading line": b"\r\n" + OK + b"\r\n",
    "a request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a banner": b"SSH-2.0-OpenSSH_9.6\r\n",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "too large": OK + b"X: " + b"x" * LIMIT + b"\r\n\r\n",
    "too large, incomplete": OK + b"X: " + b"x" * LIMIT,
    "NUL, incomplete": OK + b"A: \0",
    "fold, incomplete": OK + b"A: b\r\n c",
    "chunk size": OK + TE + b"\r\nxyz\r\n",
    "negative chunk size": OK + TE + b"\r\n-1\r\n",
    "chunk without its CRLF": OK + TE + b"\r\n1\r\nabc",
    "chunk size by bare LF": OK + TE + b"\r\n1\na\r\n",
    "endless chunk extension": OK + TE + b"\r\n1;" + b"x" * 2 * LIMIT,
    "bad trailer": OK + TE + b"\r\n0\r\nA : b\r\n\r\n",
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in BAD.items()])
def test_what_is_no_strict_answer_is_refused_at_once(raw: bytes) -> None:
    with pytest.raises(BadAnswer) as refused:
        tell(parser(), raw)
    assert "\n" not in refused.value.detail
    with pytest.raises(BadAnswer):
        tell(parser(), *(raw[at : at + 1] for at in range(len(raw))))


def test_a_101_of_http_1_0_is_refused() -> None:
    with pytest.raises(BadAnswer):
        tell(parser(protocol="websocket"), b"HTTP/1.0 101 X\r\nUpgrade: websocket\r\n\r\n")


@pytest.mark.parametrize("raw", [b"", b"HTT", OK, b"HTTP/1.1 100 Continue\r\n\r\n", OK + CL + b"\r"])
def test_the_stream_may_end_before_the_head_does(raw: bytes) -> None:
    with pytest.raises(PodClosed):
        tell(parser(), raw, eof=True)


def test_the_end_of_the_stream_may_be_known_before_the_head_is_taken() -> None:
    answer = parser()
    answer.feed(OK + b"\r\nhello")
    answer.feed_eof()
    told = Told()
    told.take(answer)
    assert (told.body, told.trailers, answer.reusable) == (b"hello", (), False)


@pytest.mark.parametrize("raw", [OK + CL + b"\r\nhell", OK + TE + b"\r\n5\r\nhello\r\n", OK + TE + b"\r\n0\r\n"])
def test_a_truncated_body_is_a_lie(raw: bytes) -> None:
    with pytest.raises(BadAnswer, match="closed"):
        tell(parser(), raw, eof=True)


@pytest.mark.parametrize(
    "raw",
    [
        OK + CL + b"\r\nhello!",
        OK + CL + b"Connection: close\r\n\r\nhello",
        OK + CL + b"Connection: x, Close\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n" + CL + b"Connection: keep-alive\r\n\r\nhello",
        OK + CL + b"\r\nhell",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_a_connection_with_anything_in_doubt_is_not_used_again(raw: bytes) -> None:
    answer = parser()
    tell(answer, raw)
    assert not answer.reusable


def test_a_connection_is_used_again_only_when_the_request_was_sent_whole() -> None:
    answer = ResponseParser(request("POST", length=2), LIMIT)
    assert answer.body(b"a") == b"a"
    tell(answer, OK + CL + b"\r\nhello")
    assert not answer.reusable
    assert answer.body(b"b") + answer.end_body() == b"b"
    assert answer.reusable


def test_no_bytes_are_not_the_end_of_the_stream() -> None:
    assert tell(parser(), b"", OK + b"\r\n", b"", b"hello", b"", b"!").body == b"hello!"


def test_the_end_stays_the_end() -> None:
    answer = parser()
    tell(answer, OK + CL + b"Connection: close\r\n\r\nhello behind")
    assert answer.next_body() == answer.next_body() == EndOfBody()


def test_bytes_behind_the_body_are_never_body() -> None:
    answer = parser()
    told = tell(answer, OK + CL + b"\r\nhelloHTTP/1.1 200 smuggled\r\n\r\n")
    assert told.body == b"hello"
    assert answer.trailing == b"HTTP/1.1 200 smuggled\r\n\r\n"


@pytest.mark.parametrize("head", [request(), request("POST", length=0)])
def test_without_a_body_its_end_is_nothing(head: RequestHead) -> None:
    answer = ResponseParser(head, LIMIT)
    assert answer.end_body() == b""
    assert tell(answer, OK + CL + b"\r\nhello").body == b"hello"
    assert answer.reusable


# ---- whether all of it is there ----


@pytest.mark.parametrize(
    ("method", "raw", "all_of_it"),
    [
        ("GET", OK + CL + b"\r\nhello", True),
        ("GET", OK + CL + b"\r\nhello, and more", True),
        ("GET", OK + CL + b"\r\nhell", False),
        ("GET", OK + b"Content-Length: 0\r\n\r\n", True),
        ("HEAD", OK + CL + b"\r\n", True),
        ("GET", OK + b"\r\nhello", False),  # it ends with the stream
        ("GET", OK + TE + b"\r\n0\r\n\r\n", False),  # chunks are looked at one after another
    ],
)
def test_an_answer_that_tells_its_length_is_known_to_be_there(method: str, raw: bytes, all_of_it: bool) -> None:
    answer = parser(method)
    answer.feed(raw)
    assert answer.next_head() is not None
    assert answer.has_all is all_of_it
