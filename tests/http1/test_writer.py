"""The client's answer: our head, h11's framing, never two minds about where it ends."""

from __future__ import annotations

from collections.abc import Iterator

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import BadAnswer
from splicer.http1.request import parse_request
from splicer.http1.writer import ResponseWriter, relayed_response, simple_response
from splicer.model import Headers

LENGTH: Headers = ((b"Content-Length", b"5"),)


def writer(method: bytes = b"GET", version: bytes = b"1.1", *fields: bytes) -> ResponseWriter:
    raw = b"\r\n".join([method + b" / HTTP/" + version, b"Host: a", *fields, b"", b""])
    head, server = parse_request(raw, limit=4096)
    return ResponseWriter(server, head)


def fields_of(wire: bytes) -> list[bytes]:
    return wire.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]


def test_order_and_case_are_kept_and_hop_by_hop_fields_are_not() -> None:
    answer = writer()
    headers = (
        (b"x-B", b"1"),
        (b"Connection", b"x-gone, content-length, close"),
        (b"Set-Cookie", b"a"),
        (b"CONTENT-length", b"5"),
        (b"X-Gone", b"1"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Connection", b"x"),
        (b"Upgrade", b"h2c"),
        (b"set-cookie", b"b"),
        (b"Trailer", b"X-T"),
    )
    wire = answer.head(299, b"It Is", headers, close=False)
    assert wire == (
        b"HTTP/1.1 299 It Is\r\nx-B: 1\r\nSet-Cookie: a\r\nCONTENT-length: 5\r\nset-cookie: b\r\nTrailer: X-T\r\n\r\n"
    )


@pytest.mark.parametrize(("close", "more"), [(False, []), (True, [b"Connection: close"])])
def test_a_426_says_which_protocol_it_wants(close: bool, more: list[bytes]) -> None:
    headers = ((b"Connection", b"upgrade"), (b"uPGRADE", b"websocket, h2c"), *LENGTH, (b"Upgrade", b"x"))
    wire = writer().head(426, b"Upgrade Required", headers, close=close)
    assert fields_of(wire) == [
        b"Content-Length: 5",
        b"uPGRADE: websocket, h2c",
        b"Upgrade: x",
        b"Connection: Upgrade",
        *more,
    ]
    assert fields_of(writer().head(426, b"", LENGTH, close=False)) == [b"Content-Length: 5"]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(
    ("method", "status", "headers", "kept"),
    [
        (b"HEAD", 200, LENGTH, [b"Content-Length: 5"]),
        (b"HEAD", 200, (), []),
        (b"HEAD", 200, ((b"Transfer-Encoding", b"chunked"),), []),
        (b"GET", 304, LENGTH, [b"Content-Length: 5"]),
        (b"GET", 304, ((b"Transfer-Encoding", b"chunked"),), []),
        (b"GET", 204, LENGTH, []),
        (b"GET", 204, (), []),
    ],
)
def test_an_answer_without_a_body_frames_none(
    version: bytes, method: bytes, status: int, headers: Headers, kept: list[bytes]
) -> None:
    answer = writer(method, version)
    close = [b"Connection: close"] if version == b"1.0" else []
    assert fields_of(answer.head(status, b"", headers, close=False)) == kept + close
    assert answer.end([(b"X-T", b"1")]) == b""
    assert answer.persistent == (version == b"1.1")


def test_a_body_for_head_is_refused() -> None:
    answer = writer(b"HEAD")
    answer.head(200, b"", LENGTH, close=False)
    with pytest.raises(BadAnswer):
        answer.body(b"hello")


@pytest.mark.parametrize(
    ("version", "headers", "fields", "wire"),
    [
        (b"1.1", LENGTH, [b"Content-Length: 5"], b"hello"),
        (b"1.0", LENGTH, [b"Content-Length: 5", b"Connection: close"], b"hello"),
        (b"1.1", (), [b"Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
        (
            b"1.1",
            ((b"Transfer-Encoding", b"chunked"),),
            [b"Transfer-Encoding: chunked"],
            b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
        ),
        (b"1.0", (), [b"Connection: close"], b"hello"),
        (b"1.0", ((b"Transfer-Encoding", b"chunked"),), [b"Connection: close"], b"hello"),
    ],
)
def test_the_framing_fits_the_client(version: bytes, headers: Headers, fields: list[bytes], wire: bytes) -> None:
    answer = writer(b"GET", version)
    assert fields_of(answer.head(200, b"OK", headers, close=False)) == fields
    trailers = [(b"X-T", b"1"), (b"Transfer-Encoding", b"x"), (b"Host", b"b")]
    assert answer.body(b"hello") + answer.end(trailers) == wire


@pytest.mark.parametrize(("first", "then"), [(b"", b"hello!"), (b"hello", b"!")])
def test_more_than_the_announced_body_is_refused(first: bytes, then: bytes) -> None:
    answer = writer()
    answer.head(200, b"OK", LENGTH, close=False)
    assert answer.body(first) == first
    with pytest.raises(BadAnswer):
        answer.body(then)
    assert not answer.persistent


def test_less_than_the_announced_body_is_refused() -> None:
    answer = writer()
    answer.head(200, b"OK", LENGTH, close=False)
    answer.body(b"hell")
    with pytest.raises(BadAnswer):
        answer.end()
    assert not answer.persistent


@pytest.mark.parametrize(
    ("fields", "close", "persistent"),
    [
        ((), False, True),
        ((b"Connection: keep-alive",), False, True),
        ((b"Connection: x, CLOSE",), False, False),
        ((), True, False),
        ((b"Upgrade: h2c", b"Connection: upgrade"), False, True),
        ((b"Expect: 100-continue",), False, True),
    ],
)
def test_the_connection_persists_unless_somebody_closes_it(
    fields: tuple[bytes, ...], close: bool, persistent: bool
) -> None:
    answer = writer(b"GET", b"1.1", *fields)
    wire = answer.head(200, b"OK", LENGTH, close=close)
    assert not answer.persistent
    assert (b"Connection: close" in fields_of(wire)) == (not persistent)
    assert answer.body(b"hello") + answer.end() == b"hello"
    assert answer.persistent == persistent


def test_informational_heads_pass_to_clients_that_know_them() -> None:
    answer = writer(b"POST", b"1.1", b"Content-Length: 0", b"Expect: 100-continue")
    headers = ((b"Link", b"</a>"), (b"Content-Length", b"3"), (b"Connection", b"x"))
    assert answer.informational(103, b"Early Hints", headers) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert answer.informational(100, b"Continue", ()) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.head(200, b"OK", LENGTH, close=False).startswith(b"HTTP/1.1 200 OK\r\n")
    old = writer(b"POST", b"1.0", b"Content-Length: 0")
    assert old.informational(100, b"Continue", ()) == b""


def messages(connection: h11.Connection) -> Iterator[h11.Event]:
    while True:
        event = connection.next_event()
        assert isinstance(event, h11.Event)
        yield event
        if isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return


@given(
    st.sampled_from([b"GET", b"HEAD", b"POST"]),
    st.sampled_from([b"1.0", b"1.1"]),
    st.integers(200, 599),
    st.lists(st.binary(max_size=30)),
    st.sampled_from([None, b"Content-Length", b"Transfer-Encoding"]),
    st.booleans(),
)
def test_the_client_reads_what_the_pod_sent(
    method: bytes, version: bytes, status: int, pieces: list[bytes], framing: bytes | None, close: bool
) -> None:
    body = b"".join(pieces)
    value = {None: b"", b"Content-Length": b"%d" % len(body), b"Transfer-Encoding": b"chunked"}[framing]
    headers: Headers = ((framing, value),) if framing else ()
    answer = writer(method, version)
    wire = answer.head(status, b"X", headers, close=close)
    bodiless = method == b"HEAD" or status in (204, 304)
    if bodiless:
        body = b""
    else:
        wire += b"".join(answer.body(piece) for piece in pieces)
    wire += answer.end()

    names = [line.partition(b":")[0] for line in fields_of(wire)]
    assert len({b"Content-Length", b"Transfer-Encoding"} & set(names)) <= 1
    assert b"Transfer-Encoding" not in names or (version == b"1.1" and not bodiless)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(wire)
    client.receive_data(b"")
    head, *data, end = messages(client)
    assert isinstance(head, h11.Response)
    assert head.status_code == status
    assert b"".join(piece.data for piece in data if isinstance(piece, h11.Data)) == body
    assert isinstance(end, h11.EndOfMessage)
    assert client.trailing_data[0] == b""


def test_an_answer_of_the_proxy_s_own() -> None:
    assert simple_response(431, b"x", "text/plain", ((b"A", b"b"),)) == (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 1\r\nA: b\r\nConnection: close\r\n\r\nx"
    )
    assert simple_response(599, b"x", "text/plain", head_only=True, close=False) == (
        b"HTTP/1.1 599 \r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n"
    )
    assert simple_response(304, b"x", "text/plain", close=False) == b"HTTP/1.1 304 Not Modified\r\n\r\n"


FIELDS = (
    (b"Content-Type", b"a/b"),
    (b"content-length", b"99"),
    (b"Connection", b"X-In"),
    (b"X-In", b"1"),
    (b"X-Out", b"2"),
)


@pytest.mark.parametrize(
    ("status", "body", "head_only", "rest"),
    [
        (401, b"hello", False, b"Content-Type: a/b\r\nX-Out: 2\r\nContent-Length: 5\r\n\r\nhello"),
        (401, b"hello", True, b"Content-Type: a/b\r\nX-Out: 2\r\nContent-Length: 5\r\n\r\n"),
        (302, b"", False, b"Content-Type: a/b\r\nX-Out: 2\r\nContent-Length: 0\r\n\r\n"),
        (401, None, False, b"X-Out: 2\r\nContent-Length: 0\r\n\r\n"),
        (304, b"", False, b"Content-Type: a/b\r\nX-Out: 2\r\n\r\n"),
    ],
)
def test_another_servers_whole_answer(status: int, body: bytes | None, head_only: bool, rest: bytes) -> None:
    first = b"HTTP/1.1 %d So\r\n" % status
    assert relayed_response(status, b"So", FIELDS, body, head_only=head_only, close=False) == first + rest
    closing = relayed_response(status, b"So", FIELDS, body, head_only=head_only)
    assert closing.replace(b"Connection: close\r\n", b"") == first + rest
