"""The handshake gate, both halves."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.utilities import generate_accept_token

from splicer.errors import BadAnswer, BadRequest, BadWebSocketVersion
from splicer.http1.request import parse_request
from splicer.http1.upgrade import serialize_101, verify_upgrade, wanted_upgrade
from splicer.model import Header, RequestHead, ResponseHead

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3
HANDSHAKE = {
    b"Connection": b"keep-alive, Upgrade",
    b"Upgrade": b"WebSocket",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": KEY,
}
WS = ("websocket",)


def head(
    changes: dict[bytes, bytes | None] | None = None, *more: bytes, start: bytes = b"GET / HTTP/1.1"
) -> RequestHead:
    fields = {**HANDSHAKE, **(changes or {})}
    lines = [name + b": " + value for name, value in fields.items() if value is not None]
    return parse_request(b"\r\n".join([start, b"Host: a", *lines, *more, b"", b""]), limit=65536)[0]


def test_a_handshake_is_wanted() -> None:
    assert wanted_upgrade(head(), WS) == "websocket"
    assert wanted_upgrade(head({b"Upgrade": b"h2c, websocket"}), WS) == "websocket"
    assert wanted_upgrade(head({b"Connection": b"x"}, b"connection: UPGRADE"), WS) == "websocket"
    assert wanted_upgrade(head({}, b"Content-Length: 0"), WS) == "websocket"


def test_the_client_s_first_choice_among_the_allowed_is_taken() -> None:
    request = head({b"Upgrade": b"a, B/2"}, b"Upgrade: websocket")
    assert wanted_upgrade(request, ("websocket", "b/2")) == "b/2"
    assert wanted_upgrade(request, ("websocket", "b")) == "websocket"


def test_another_protocol_needs_no_websocket_fields() -> None:
    request = head({b"Upgrade": b"raw", b"Sec-WebSocket-Version": None, b"Sec-WebSocket-Key": None})
    assert wanted_upgrade(request, ("raw",)) == "raw"


@pytest.mark.parametrize(
    ("request_head", "allowed"),
    [
        (head(), ()),
        (head(), ("h2c",)),
        (head({b"Upgrade": b"h2c"}), WS),
        (head({b"Upgrade": b"websockets"}), WS),
        (head({b"Upgrade": b"websocket/13"}), WS),
        (head({b"Upgrade": None}), WS),
        (head({b"Upgrade": b""}), WS),
        (head({b"Connection": None}), WS),
        (head({b"Connection": b"keep-alive"}), WS),
        (head({b"Connection": b"upgraded"}), WS),
        (head(start=b"POST / HTTP/1.1"), WS),
        (head(start=b"get / HTTP/1.1"), WS),
        (head({}, b"Content-Length: 5", start=b"POST / HTTP/1.1"), WS),
        (head(start=b"GET / HTTP/1.0"), WS),
        (head({b"Upgrade": b"raw"}, b"Content-Length: 5"), ("raw",)),
        (head({b"Sec-WebSocket-Version": b"8"}), ("raw",)),
    ],
)
def test_everything_else_is_plain_http(request_head: RequestHead, allowed: tuple[str, ...]) -> None:
    assert wanted_upgrade(request_head, allowed) is None


@pytest.mark.parametrize(
    "request_head",
    [
        head({b"Sec-WebSocket-Version": None}),
        head({b"Sec-WebSocket-Version": b"8"}),
        head({b"Sec-WebSocket-Version": b"13, 8"}),
        head({b"Sec-WebSocket-Version": b"013"}),
        head({}, b"Sec-WebSocket-Version: 13"),
        head({b"Sec-WebSocket-Version": b"12", b"Sec-WebSocket-Key": None}),
    ],
)
def test_another_version_is_426(request_head: RequestHead) -> None:
    with pytest.raises(BadWebSocketVersion):
        wanted_upgrade(request_head, WS)


@pytest.mark.parametrize(
    "request_head",
    [
        head({b"Sec-WebSocket-Key": None}),
        head({b"Sec-WebSocket-Key": b""}),
        head({b"Sec-WebSocket-Key": b"SGVsbG8sIHdvcmxkIQ=="}),  # 13 bytes
        head({b"Sec-WebSocket-Key": KEY[:-2]}),
        head({b"Sec-WebSocket-Key": KEY + b"="}),
        head({b"Sec-WebSocket-Key": b"-" + KEY[1:]}),
        head({b"Sec-WebSocket-Key": KEY + b", " + KEY}),
        head({}, b"Sec-WebSocket-Key: " + KEY),
        head({}, b"Content-Length: 5"),
        head({}, b"Transfer-Encoding: chunked"),
        head({b"Sec-WebSocket-Version": b"8"}, b"Content-Length: 5"),
    ],
)
def test_a_bad_key_or_a_body_is_400(request_head: RequestHead) -> None:
    with pytest.raises(BadRequest):
        wanted_upgrade(request_head, WS)


def test_unused_bits_of_a_key_are_nobody_s_business() -> None:
    assert wanted_upgrade(head({b"Sec-WebSocket-Key": KEY[:21] + b"R=="}), WS) == "websocket"


@given(st.binary(min_size=16, max_size=16))
def test_any_16_bytes_are_a_key(nonce: bytes) -> None:
    assert wanted_upgrade(head({b"Sec-WebSocket-Key": base64.b64encode(nonce)}), WS) == "websocket"


@given(st.binary(max_size=40).filter(lambda nonce: len(nonce) != 16))
def test_no_other_number_of_bytes_is(nonce: bytes) -> None:
    with pytest.raises(BadRequest):
        wanted_upgrade(head({b"Sec-WebSocket-Key": base64.b64encode(nonce)}), WS)


def answer(*headers: Header, status: int = 101) -> ResponseHead:
    return ResponseHead(status, b"Switching Protocols", "1.1", headers)


UPGRADE: Header = (b"Upgrade", b"websocket")
CONNECTION: Header = (b"Connection", b"Upgrade")
TOKEN: Header = (b"Sec-WebSocket-Accept", ACCEPT)


@pytest.mark.parametrize(
    "verified",
    [
        answer(UPGRADE, CONNECTION, TOKEN),
        answer(
            (b"x", b"y"), TOKEN, (b"upgrade", b"WEBSOCKET"), (b"connection", b"keep-alive"), (b"CONNECTION", b"upgrade")
        ),
        answer(UPGRADE, CONNECTION, TOKEN, (b"Content-Length", b"0")),
        answer(UPGRADE, CONNECTION, TOKEN, (b"transfer-encoding", b"chunked"), (b"Content-Length", b"x")),
    ],
)
def test_the_right_answer_opens_a_tunnel(verified: ResponseHead) -> None:
    verify_upgrade(head(), verified, "websocket")


@pytest.mark.parametrize(
    "wrong",
    [
        answer(UPGRADE, CONNECTION, TOKEN, status=200),
        answer(CONNECTION, TOKEN),
        answer(UPGRADE, UPGRADE, CONNECTION, TOKEN),
        answer((b"Upgrade", b"h2c"), CONNECTION, TOKEN),
        answer((b"Upgrade", b"websocket, h2c"), CONNECTION, TOKEN),
        answer(UPGRADE, TOKEN),
        answer(UPGRADE, (b"Connection", b"close"), TOKEN),
        answer(UPGRADE, CONNECTION),
        answer(UPGRADE, CONNECTION, TOKEN, TOKEN),
        answer(UPGRADE, CONNECTION, (b"Sec-WebSocket-Accept", KEY)),
        answer(UPGRADE, CONNECTION, (b"Sec-WebSocket-Accept", ACCEPT.lower())),
        answer(UPGRADE, CONNECTION, (b"Sec-WebSocket-Accept", generate_accept_token(b"x"))),
    ],
)
def test_any_other_answer_opens_none(wrong: ResponseHead) -> None:
    with pytest.raises(BadAnswer):
        verify_upgrade(head(), wrong, "websocket")


def test_another_protocol_s_answer_needs_no_token() -> None:
    verify_upgrade(head(), answer((b"Upgrade", b"Raw"), CONNECTION), "raw")
    with pytest.raises(BadAnswer):
        verify_upgrade(head(), answer(UPGRADE, CONNECTION, TOKEN), "raw")


def test_the_client_gets_the_pod_s_end_to_end_fields() -> None:
    given_answer = answer(
        (b"sERVER", b"x"),
        (b"connection", b"upgrade, X-Hop"),
        TOKEN,
        (b"UPGRADE", b"WebSocket"),
        (b"X-Hop", b"1"),
        (b"Keep-Alive", b"1"),
        (b"content-LENGTH", b"0"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Set-Cookie", b"a"),
        (b"Set-Cookie", b"b"),
    )
    assert serialize_101(given_answer) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        b"sERVER: x\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"
    )
