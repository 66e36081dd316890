"""Bodies: what came, wherever the stream was cut; and how much a sender may make of a chunk or of trailers."""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import BadAnswer, BadRequest, HeadTooLarge, SplicerError
from splicer.http1.body import MOST_TRAILERS, BodyReader, ChunkedBody, CountedBody, EndOfBody, request_body
from splicer.model import Headers, RequestHead

LIMIT = 4096
LAST = b"0\r\n\r\n"


def chunked() -> ChunkedBody:
    return ChunkedBody(LIMIT, BadRequest, HeadTooLarge)


def took(reader: BodyReader, *pieces: bytes) -> tuple[bytes, Headers | None, bytes]:
    """Content, trailers (None: no end yet), and what is left behind the end."""
    content = b""
    for piece in pieces:
        reader.feed(piece)
        while data := reader.read():
            content += data
    return content, None if reader.end is None else reader.end.trailers, reader.trailing if reader.end else b""


def single(whole: bytes) -> list[bytes]:
    return [whole[at : at + 1] for at in range(len(whole))]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", (b"", None, b"")),
        (LAST, (b"", (), b"")),
        (b"5\r\nhello\r\n" + LAST, (b"hello", (), b"")),
        (b"0000000000000005\r\nhello\r\n1\r\n!\r\n000\r\n\r\nGET", (b"hello!", (), b"GET")),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n" + LAST, (b"0123456789" * 2, (), b"")),
        (b'5 ;x=y;z="\xff\t"\r\nhello\r\n0 \t\r\n\r\n', (b"hello", (), b"")),
        (b"5\r\nhello", (b"hello", None, b"")),
        (b"5\r\nhello\r\n0\r\n", (b"hello", None, b"")),
        (b"0\r\nX-Sum: 1 \r\ny:\r\n\r\n\r\n\r\n", (b"", ((b"X-Sum", b"1"), (b"y", b"")), b"\r\n\r\n")),
        (b"5\r\n\r\n0\r\n\r\n" + LAST, (b"\r\n0\r\n", (), b"")),
    ],
)
def test_chunks(raw: bytes, expected: tuple[bytes, Headers | None, bytes]) -> None:
    assert took(chunked(), raw) == expected
    assert took(chunked(), *single(raw)) == expected


BAD = {
    "no size": b"\r\nhello",
    "no digit": b"xyz\r\n",
    "sign": b"-1\r\n",
    "prefix": b"0x5\r\nhello\r\n",
    "underscore": b"1_0\r\n",
    "space before": b" 5\r\nhello\r\n",
    "17 digits": b"00000000000000005\r\nhello\r\n",
    "LF alone": b"5\nhello\r\n",
    "CR in an extension": b"5;a\rb\r\nhello\r\n",
    "NUL in an extension": b"5;\0\r\nhello\r\n",
    "nothing but an extension": b";a\r\n",
    "more than its size": b"5\r\nhello!\r\n" + LAST,
    "less than its size": b"5\r\nhell\r\n" + LAST,
    "LF behind a chunk": b"5\r\nhello\n" + LAST,
    "long extension": b"5;" + b"x" * 1000 + b"\r\nhello\r\n",
    "endless extension": b"5;" + b"x" * 1100,
    "trailer without a colon": b"0\r\nhello\r\n\r\n",
    "trailer without a name": b"0\r\n: a\r\n\r\n",
    "space before the colon": b"0\r\nA : b\r\n\r\n",
    "folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "LF in a trailer": b"0\r\nA: b\nC: d\r\n\r\n",
    "NUL in a trailer": b"0\r\nA: \0\r\n\r\n",
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in BAD.items()])
def test_what_are_no_chunks_is_refused(raw: bytes) -> None:
    for pieces in [raw], single(raw):
        with pytest.raises(BadRequest) as refused:
            took(chunked(), *pieces)
        assert "\n" not in refused.value.detail


@pytest.mark.parametrize(
    ("fault", "told"),
    [(b"xyz\r\n", "chunked body: size b'xyz"), (b"0\r\nX\r\n\r\n", "chunked body: field line without a colon")],
)
def test_what_is_sound_comes_before_the_fault_behind_it(fault: bytes, told: str) -> None:
    body = chunked()
    body.feed(b"5\r\nhello\r\n" + fault)
    assert body.read() == b"hello"
    with pytest.raises(BadRequest, match=told):
        body.read()


@pytest.mark.parametrize("field", [b"a:\r\n", b"a: " + b"x" * 20 + b"\r\n"])
@pytest.mark.parametrize("end", [b"\r\n", b""])
def test_trailers_have_so_many_fields_and_no_more(field: bytes, end: bytes) -> None:
    most = b"0\r\n" + field * MOST_TRAILERS
    for cut in (lambda raw: [raw]), single:
        _, trailers, _ = took(chunked(), *cut(most + end))
        assert len(trailers or ()) == (100 if end else 0)
        with pytest.raises(HeadTooLarge, match="100 trailer fields"):
            took(chunked(), *cut(most + field + end))


def test_trailers_are_no_longer_than_a_head() -> None:
    assert took(chunked(), b"0\r\na:" + b"x" * (LIMIT - 4) + b"\r\n\r\n")[1] is not None
    for rest in b"\r\n\r\n", b"":
        with pytest.raises(HeadTooLarge, match="over 4096"):
            took(chunked(), b"0\r\na:" + b"x" * LIMIT + rest)


def test_a_pod_s_trailers_are_a_bad_answer() -> None:
    with pytest.raises(BadAnswer):
        took(ChunkedBody(LIMIT, BadAnswer, BadAnswer), b"0\r\n" + b"a:\r\n" * 101)


def test_many_small_chunks_are_read_in_turns() -> None:
    body = chunked()
    body.feed(b"1\r\nx\r\n" * 1000 + LAST)
    turns = 0
    while data := body.read():
        assert len(data) <= 64
        turns += 1
    assert (turns, body.end) == (16, EndOfBody())


@given(st.lists(st.binary(max_size=30), max_size=5), st.binary(max_size=5), st.lists(st.integers(0, 250), max_size=5))
def test_where_the_stream_is_cut_changes_nothing(parts: list[bytes], behind: bytes, cuts: list[int]) -> None:
    whole = b"".join(b"%X;e\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\nA: b\r\n\r\n" + behind
    points = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    pieces = [whole[start:end] for start, end in pairwise(points)]
    body = chunked()
    content, trailers, _ = took(body, *pieces)
    assert (content, trailers, body.trailing) == (b"".join(parts), ((b"A", b"b"),), behind)


SOUP = st.lists(
    st.sampled_from(
        [
            b"5\r\nhello\r\n",
            b"5\r\n",
            b"hello",
            b"0\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b";a=b",
            b" ",
            b"A: b\r\n",
            b":",
            b"\0",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(SOUP | st.binary(max_size=40))
def test_what_is_taken_is_what_h11_takes(raw: bytes) -> None:
    """Not all of that: h11 is more lenient."""
    try:
        content, trailers, behind = took(chunked(), raw)
    except SplicerError:
        return
    reference = h11.Connection(h11.SERVER)
    reference.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + raw)
    assert isinstance(reference.next_event(), h11.Request)
    came, event = b"", reference.next_event()
    while isinstance(event, h11.Data):
        came += event.data
        event = reference.next_event()
    assert came == content
    if trailers is None:
        assert event is h11.NEED_DATA
    else:
        assert isinstance(event, h11.EndOfMessage)
        assert tuple(event.headers.raw_items()) == trailers
        assert reference.trailing_data[0] == behind


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_counted_body_is_so_many_bytes(length: int) -> None:
    for cut in (lambda raw: [raw]), single:
        body = CountedBody(length)
        assert took(body, *cut(b"hello"[:length] + b"GET /"))[0] == b"hello"[:length]
        assert (body.end, body.trailing, body.read()) == (EndOfBody(), b"GET /", b"")


def test_a_counted_body_may_be_short() -> None:
    assert took(CountedBody(6), b"hello") == (b"hello", None, b"")


def test_a_request_s_body_is_what_its_head_announces() -> None:
    head = RequestHead("POST", "/", "/", None, "a", "1.1", ())
    assert took(request_body(head, LIMIT)) == (b"", (), b"")
    assert isinstance(request_body(RequestHead("POST", "/", "/", None, "a", "1.1", (), 5), LIMIT), CountedBody)
    body = request_body(RequestHead("POST", "/", "/", None, "a", "1.1", (), None, chunked=True), LIMIT)
    with pytest.raises(HeadTooLarge):
        took(body, b"0\r\n" + b"a:" * LIMIT)
