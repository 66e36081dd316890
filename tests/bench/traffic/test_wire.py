from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.traffic.wire import LEAST_FRAME, accept_key, fault_of_101, frame_parts

ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = (
    b"HTTP/1.1 101 Switching Protocols\r\nserver: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)


def test_the_key_of_the_rfc() -> None:
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == ACCEPT


def test_a_right_101() -> None:
    assert fault_of_101(GOOD, ACCEPT) == ""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b"101 Switching", b"502 Bad", "no 101, but 'HTTP/1.1 502 Bad Protocols'"),
        (b"Upgrade: websocket", b"Upgrade: h2c", "a 101 without Upgrade: websocket"),
        (b"Connection: Upgrade", b"Connection: close", "a 101 without Connection: upgrade"),
        (b"s3pP", b"s3pp", "a 101 with a wrong Sec-WebSocket-Accept"),
        (b"Sec-WebSocket-Accept", b"X", "a 101 with a wrong Sec-WebSocket-Accept"),
    ],
)
def test_a_wrong_101(old: bytes, new: bytes, fault: str) -> None:
    assert fault_of_101(GOOD.replace(old, new), ACCEPT) == fault


@given(st.integers(LEAST_FRAME, 200_000))
def test_a_frame_says_how_long_it_is(size: int) -> None:
    start, rest = frame_parts(size)
    frame = start + bytes(8) + rest
    assert len(frame) == size
    first, second = frame[:2]
    assert (first, second & 0x80) == (0x82, 0x80)
    length, head = second & 0x7F, 6
    if length == 126:
        length, head = struct.unpack("!H", frame[2:4])[0], 8
    elif length == 127:
        length, head = struct.unpack("!Q", frame[2:10])[0], 14
    assert head + length == size
    assert frame[head - 4 : head] == bytes(4)
