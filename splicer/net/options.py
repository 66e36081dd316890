"""What every TCP connection is set to (tcp(7))."""

from __future__ import annotations

import socket

# A peer that vanishes is noticed after about a minute: idle by keepalive, owing an ACK by the user timeout (tcp(7)).
_KEEPIDLE = 30
_KEEPINTVL = 10
_KEEPCNT = 3
USER_TIMEOUT_MS = 60_000

SOCKET_BUFFER = 64 * 1024  # bytes: `limits.socket_buffer`, until the file has been read
_IN_FLIGHT, _UNSENT = 3, 4  # so many times that may be sent and not acknowledged; such a part may wait unsent


def set_tcp_options(sock: socket.socket) -> None:
    """No Nagle, urgent data in line, keepalive and user timeout; a listening socket hands them on (tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # else the byte is lost (RFC 6093 §6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPIDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPINTVL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPCNT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


# A size that is set switches the kernel's autotuning off, which gives a connection up to tcp_wmem[2] and tcp_rmem[2], 4
# and 6 MiB or more. The window that is announced at the handshake goes by the buffer of that time: it is set before
# connect(2), and on the listener (tcp(7)). What waits because nobody reads has not been sent yet: TCP_NOTSENT_LOWAT
# bounds that. The send buffer itself, for what was sent and not acknowledged yet, may be larger, for long lines.
def limit_buffers(sock: socket.socket, size: int) -> None:
    """Bound what the kernel keeps for a connection that nobody reads; a listening socket hands the bounds on.

    The kernel takes twice the size, for its own bookkeeping, and at most net.core.rmem_max and wmem_max (socket(7)).

    Args:
        sock: not connected yet, or listening.
        size: of the receive buffer, in bytes, and a third of the send buffer.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _IN_FLIGHT * size)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size // _UNSENT)


def granted_buffer(sock: socket.socket) -> int:
    """What the kernel made of the size in `limit_buffers`, in bytes: of the smaller one of both buffers."""
    return min(sock.getsockopt(socket.SOL_SOCKET, name) for name in (socket.SO_RCVBUF, socket.SO_SNDBUF)) // 2
