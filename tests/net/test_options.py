from __future__ import annotations

import socket

from splicer.config.schema import Limits
from splicer.net.bind import bind
from splicer.net.options import SOCKET_BUFFER, USER_TIMEOUT_MS, granted_buffer, limit_buffers, set_tcp_options

TCP, SOL = socket.IPPROTO_TCP, socket.SOL_SOCKET
OPTIONS = [
    (TCP, socket.TCP_NODELAY),
    (SOL, socket.SO_KEEPALIVE),
    (SOL, socket.SO_OOBINLINE),
    (TCP, socket.TCP_KEEPIDLE),
    (TCP, socket.TCP_KEEPINTVL),
    (TCP, socket.TCP_KEEPCNT),
    (TCP, socket.TCP_USER_TIMEOUT),
    (TCP, socket.TCP_NOTSENT_LOWAT),
    (SOL, socket.SO_SNDBUF),
]


def test_the_options_notice_a_vanished_peer_in_about_a_minute() -> None:
    with socket.socket() as sock:
        set_tcp_options(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, interval, count = (
            sock.getsockopt(TCP, name) for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert 30 <= idle + interval * count <= 90
        assert 30_000 <= sock.getsockopt(TCP, socket.TCP_USER_TIMEOUT) == USER_TIMEOUT_MS <= 90_000
        assert sock.getsockopt(TCP, socket.TCP_NODELAY)


def test_what_is_accepted_inherits_the_options() -> None:
    with socket.socket() as plain, socket.socket() as wanted, bind("127.0.0.1", 0) as listener:
        set_tcp_options(wanted)
        limit_buffers(wanted, SOCKET_BUFFER)
        client = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
        with client, sock:
            for level, name in OPTIONS:
                value = sock.getsockopt(level, name)
                assert value == wanted.getsockopt(level, name)
                assert value != plain.getsockopt(level, name)


# The receive buffer's size alone may be the kernel's own to begin with; the window tells that it stays (test_dial).
def test_until_the_file_is_read_the_buffers_are_those_that_it_has_by_default() -> None:
    assert Limits().socket_buffer == SOCKET_BUFFER
    with bind("127.0.0.1", 0) as listener:
        assert granted_buffer(listener) == SOCKET_BUFFER


def test_the_kernel_grants_no_more_than_the_machine_allows() -> None:
    with socket.socket() as sock:
        limit_buffers(sock, 1 << 28)
        assert granted_buffer(sock) < 1 << 28
