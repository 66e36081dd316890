from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.traffic.dial import Address, open_tunnels
from bench.traffic.wire import BODY, get_head, upgrade_head
from tests.kit.laws import examples

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def exactly(sock: socket.socket, count: int) -> bytes:
    sock.settimeout(10)
    data = bytearray()
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return bytes(data)


def tunnel(pod: Address) -> socket.socket:
    return open_tunnels(pod, ["/call"], 1)[0]


def test_a_head_in_pieces_and_bytes_right_behind_it(pod: Address) -> None:
    with socket.create_connection(pod) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in upgrade_head("/call/x?y=1", KEY):
            sock.sendall(bytes([byte]))
        assert exactly(sock, len(SWITCHED)) == SWITCHED
    with socket.create_connection(pod) as sock:
        sock.sendall(upgrade_head("/call", KEY) + b"early")
        assert exactly(sock, len(SWITCHED) + 5) == SWITCHED + b"early"


@settings(max_examples=examples(25), deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=9000), min_size=1, max_size=10))
def test_whatever_is_sent_comes_back(pod: Address, pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    with tunnel(pod) as sock:
        sock.settimeout(10)
        for piece in pieces:
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        assert exactly(sock, len(whole) + 1) == whole


def test_who_does_not_read_holds_up_nobody(pod: Address) -> None:
    much = bytes(range(251)) * 8000
    with tunnel(pod) as slow, tunnel(pod) as other:
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += slow.send(much[sent % len(much) :])
        other.sendall(b"x" * 160)
        assert exactly(other, 160) == b"x" * 160
        echo = exactly(slow, sent)
        assert echo == (much * (sent // len(much) + 1))[:sent]
        slow.sendall(b"on")
        assert exactly(slow, 2) == b"on"


def test_a_reset_ends_one_call_alone(pod: Address) -> None:
    with tunnel(pod) as lost, tunnel(pod) as other:
        lost.sendall(b"x")
        lost.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        lost.close()
        other.sendall(b"y")
        assert exactly(other, 1) == b"y"


def test_plain_requests_share_a_connection(pod: Address) -> None:
    with socket.create_connection(pod) as sock:
        post = b"POST /api/v1/x HTTP/1.1\r\nHost: x\r\ncontent-length: 6\r\n\r\nabc"
        for part in (get_head("/api/v1/x") * 2, post, b"def", get_head("/else"), get_head("/api/v1/x")):
            sock.sendall(part)
        ok = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
        wanted = ok * 3 + b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" + ok
        assert exactly(sock, len(wanted)) == wanted
    json.loads(BODY)


@pytest.mark.parametrize("head", [upgrade_head("/ws/pod/x/call", KEY), get_head("/call")])
def test_what_was_not_rewritten_is_found_out(pod: Address, head: bytes) -> None:
    with socket.create_connection(pod) as sock:
        sock.sendall(head)
        assert exactly(sock, 22) == b"HTTP/1.1 404 Not Found"


def test_a_body_of_unknown_length_is_refused(pod: Address) -> None:
    with socket.create_connection(pod) as sock:
        sock.sendall(b"POST /api/v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert exactly(sock, 12) == b"HTTP/1.1 411"


def test_pods_end_with_their_standard_input() -> None:
    command = [sys.executable, "-m", "bench.traffic", "pods", "127.0.0.1", "0", "--processes", "2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.stdin.close()
        assert process.stdout.read() == b""  # the second process has gone too
        assert process.wait(10) == 0
