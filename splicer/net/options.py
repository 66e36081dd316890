"""What every TCP connection is set to (tcp(7))."""

from __future__ import annotations

import socket

# A peer that vanishes is noticed after about a minute: idle by keepalive, owing an ACK by the user timeout (tcp(7)).
_KEEPIDLE = 30
_KEEPINTVL = 10
_KEEPCNT = 3
USER_TIMEOUT_MS = 60_000


def set_tcp_options(sock: socket.socket) -> None:
    """No Nagle, urgent data in line, keepalive and user timeout; a listening socket hands them on (tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # else the byte is lost (RFC 6093 §6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPIDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPINTVL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPCNT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
