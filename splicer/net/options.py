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
_SEND_FACTOR = 3  # the send buffer, which holds sent and unacknowledged bytes, is so many times the receive buffer
_UNSENT_DIVISOR = 4  # such a part of the receive buffer's size may wait unsent


def set_tcp_options(sock: socket.socket) -> None:
    """Set TCP_NODELAY, SO_OOBINLINE, keepalive and user timeout; accepted sockets inherit them (tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # else an urgent byte is lost (RFC 6093 §6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPIDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPINTVL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPCNT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


# Setting a size switches off the kernel's autotuning, which lets a connection grow to tcp_wmem[2] and tcp_rmem[2], 4
# and 6 MiB or more. The window announced in the TCP handshake follows the buffer's size at that moment, so the size is
# set before connect(2), and on the listener (tcp(7)). Bytes that wait because the peer doesn't read are unsent:
# TCP_NOTSENT_LOWAT bounds them. The send buffer also holds sent and unacknowledged bytes, and is larger for the sake of
# connections with a long round trip.
def limit_buffers(sock: socket.socket, size: int) -> None:
    """Bound the kernel memory of a connection whose peer doesn't read; accepted sockets inherit the bounds.

    The kernel takes twice the size, for its own bookkeeping, and at most net.core.rmem_max and wmem_max (socket(7)).

    Args:
        sock: not connected yet, or listening.
        size: bytes of the receive buffer, and a third of the send buffer's.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_FACTOR * size)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size // _UNSENT_DIVISOR)


def granted_buffer(sock: socket.socket) -> int:
    """The size in bytes that the kernel granted for `limit_buffers`: that of the smaller of both buffers."""
    return min(sock.getsockopt(socket.SOL_SOCKET, name) for name in (socket.SO_RCVBUF, socket.SO_SNDBUF)) // 2
