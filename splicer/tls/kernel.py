"""What the kernel knows of a tls process's sockets (tcp(7), poll(2))."""

from __future__ import annotations

import array
import fcntl
import select
import socket
import struct
import termios

from splicer.ipc.tls_table import line_word

_CLOSED = 7  # TCP_CLOSE in <netinet/tcp.h>: after a reset
_BYTES = 148
_LINE = struct.Struct("=68xI28xI")  # tcpi_rtt in µs and tcpi_total_retrans of struct tcp_info in <linux/tcp.h>


def is_flushed(sock: socket.socket) -> bool:
    """Whether a reset would discard nothing: all bytes are acknowledged, or the connection is gone."""
    answer = array.array("i", [0])
    try:
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _CLOSED:
            return True
        fcntl.ioctl(sock, termios.TIOCOUTQ, answer)
    except OSError:
        return True
    return not answer[0]


def peer_has_closed(plain: socket.socket) -> bool:
    """Whether the other end of a unix socket is closed in both directions."""
    poll = select.poll()
    poll.register(plain, 0)
    return any(mask & select.POLLHUP for _, mask in poll.poll(0))


def line_of(sock: socket.socket) -> int | None:
    """The round-trip time and retransmissions, as `Word.LINE` has them; None: the connection is gone."""
    try:
        rtt, retransmits = _LINE.unpack_from(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES))
    except OSError:
        return None
    return line_word(rtt, retransmits)
