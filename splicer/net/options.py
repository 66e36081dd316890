"""Socket options of every TCP connection (tcp(7))."""

from __future__ import annotations

import socket

# A peer that vanishes is noticed after about a minute: by keepalive if the connection is idle, by the user timeout if
# data is unacknowledged (tcp(7)).
_KEEPIDLE = 30
_KEEPINTVL = 10
_KEEPCNT = 3
USER_TIMEOUT_MS = 60_000

SOCKET_BUFFER = 64 * 1024  # bytes; stands for `limits.socket_buffer` until the file has been read
_FLOW_FACTOR = 8  # bytes on their way, either direction, may grow to so many times the size while the peer reads


def set_tcp_options(sock: socket.socket) -> None:
    """Set TCP_NODELAY, SO_OOBINLINE, keepalive and user timeout; accepted sockets inherit them (tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # else an urgent byte is lost (RFC 6093 §6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPIDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPINTVL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPCNT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


# The kernel alone would let a connection grow to tcp_wmem[2] and tcp_rmem[2], 4 and 6 MiB or more. Bytes that wait
# because the peer doesn't read are unsent: TCP_NOTSENT_LOWAT bounds them. The receive buffer is left to autotuning,
# which starts small and grows only as we read; a fixed small one costs a third of the throughput of large messages. The
# window clamp decides the window's scale in the TCP handshake (RFC 7323 §2.2), and no autotuning exceeds 65,535 times
# the scale: so it is set before connect(2), and on the listener (tcp(7)). The send buffer also bounds the bytes that a
# peer receives and doesn't acknowledge.
def limit_buffers(sock: socket.socket, size: int) -> None:
    """Bound the kernel memory of a connection whose peer doesn't read; accepted sockets inherit the bounds.

    The kernel caps the send buffer at net.core.wmem_max (socket(7)) and the window at tcp_rmem[2] (tcp(7)).

    Args:
        sock: not connected yet, or listening.
        size: bytes that may wait unsent; the send buffer and the receive window may grow to eight times as many.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _FLOW_FACTOR * size)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, _FLOW_FACTOR * size * 65_535 // 65_536)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)


def granted_buffer(sock: socket.socket) -> int:
    """Bytes that the kernel granted for `limit_buffers`' size: that of the send buffer, if it is smaller."""
    return min(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2,  # the kernel doubles it (socket(7))
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT),
    )
