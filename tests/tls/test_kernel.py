"""What the kernel knows of real sockets."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from splicer.ipc.tls_table import line_word
from splicer.tls.kernel import is_flushed, line_of, peer_has_closed

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def tcp() -> Iterator[Pair]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        ours = stack.enter_context(socket.create_connection(listener.getsockname()))
        theirs, _ = listener.accept()
        stack.enter_context(theirs)
        yield ours, theirs


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_bytes_that_nobody_has_yet_would_be_lost(tcp: Pair) -> None:
    ours, theirs = tcp
    assert is_flushed(ours)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    ours.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            ours.send(bytes(1 << 16))
    assert not is_flushed(ours)
    reset(theirs)
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
    assert is_flushed(ours), "there is nobody to lose them"


def test_a_closed_socket_has_nothing_to_lose(tcp: Pair) -> None:
    tcp[0].close()
    assert is_flushed(tcp[0])
    assert line_of(tcp[0]) is None


def test_the_line_is_that_of_the_connection(tcp: Pair) -> None:
    ours, theirs = tcp
    ours.send(b"x")
    theirs.recv(1)
    info = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    rtt, total_retrans = struct.unpack_from("=I", info, 68)[0], struct.unpack_from("=I", info, 100)[0]
    assert rtt > 0
    assert line_of(ours) == line_word(rtt, total_retrans)


def test_a_peer_has_closed_when_it_has_in_both_directions() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not peer_has_closed(ours)
        theirs.shutdown(socket.SHUT_WR)
        assert not peer_has_closed(ours)
        theirs.close()
        assert peer_has_closed(ours)
