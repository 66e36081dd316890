"""A pod's answer: what holds for any body, any cut of the stream, and any bytes."""

from __future__ import annotations

from itertools import pairwise

import h11
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import PodError
from splicer.http1.response import ResponseParser
from tests.http1.answers import CL, LIMIT, OK, TE, parser, request, tell


@given(st.lists(st.binary(max_size=40)), st.booleans())
def test_a_request_body_comes_out_as_it_went_in(pieces: list[bytes], chunked: bool) -> None:
    whole = b"".join(pieces)
    sender = ResponseParser(request("POST", length=None if chunked else len(whole), chunked=chunked), LIMIT)
    trailers = [(b"X-Sum", b"1"), (b"Content-Length", b"9"), (b"X-Forwarded-For", b"9")]
    wire = b"".join(sender.body(piece) for piece in pieces) + sender.end_body(trailers)

    pod = h11.Connection(h11.SERVER)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(whole)
    pod.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + wire)
    came, event = b"", pod.next_event()
    while not isinstance(event, h11.EndOfMessage):
        if isinstance(event, h11.Data):
            came += event.data
        event = pod.next_event()
    assert came == whole
    assert event.headers.raw_items() == ([(b"X-Sum", b"1")] if chunked else [])
    assert pod.trailing_data[0] == b""


BODIES = st.binary(max_size=60)
INFORMATIONAL = st.lists(
    st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103\r\nLink: </a>\r\n\r\n"]), max_size=2
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


ANSWERS = st.one_of(
    BODIES.map(lambda body: b"%sContent-Length: %d\r\n\r\n%s" % (OK, len(body), body)),
    st.lists(BODIES).map(lambda parts: OK + TE + b"\r\n" + b"".join(map(chunk, parts)) + b"0\r\nX-T: 1\r\n\r\n"),
    BODIES.map(lambda body: OK + b"\r\n" + body),
    BODIES.map(lambda frames: b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n" + frames),
)


def split(whole: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    return [whole[start:end] for start, end in pairwise(points)]


@given(INFORMATIONAL, ANSWERS, st.sampled_from([b"", b"HTTP/1.1 200"]), st.lists(st.integers(0, 400)))
def test_where_the_stream_is_cut_changes_nothing(
    before: list[bytes], answer: bytes, behind: bytes, cuts: list[int]
) -> None:
    whole = b"".join(before) + answer + behind
    one, other = parser(protocol="websocket"), parser(protocol="websocket")
    expected, told = tell(one, whole, eof=True), tell(other, *split(whole, cuts), eof=True)
    assert vars(told) == vars(expected)
    assert other.trailing == one.trailing


SOUP = st.lists(
    st.sampled_from(
        [
            OK,
            b"HTTP/1.1 100\r\n\r\n",
            b"HTTP/1.1 101 X\r\n",
            b"HTTP/1.0 204 X\r\n",
            CL,
            TE,
            b"Connection: close\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b":",
            b"\0",
            b"\xff",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"0\r\nA: b\r\n",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(
    st.binary(max_size=200) | SOUP,
    st.lists(st.integers(0, 200), max_size=4),
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from([None, "websocket"]),
)
def test_any_bytes_are_an_answer_or_a_clear_error(
    raw: bytes, cuts: list[int], method: str, protocol: str | None
) -> None:
    def outcome(pieces: list[bytes]) -> object:
        try:
            return vars(tell(parser(method, protocol), *pieces, eof=True))
        except PodError as error:
            return type(error)

    assert outcome([raw]) == outcome(split(raw, cuts))
