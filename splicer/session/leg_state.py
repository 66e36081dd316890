"""What the kernel, or the tls process between, knows of one leg of a tunnel when another worker takes it over."""

from __future__ import annotations

import array
import fcntl
import select
import socket
import struct
import termios

from attrs import frozen

from splicer.net.stream import ByteStream, TlsLeg

_TCP_INFO_BYTES = 216
# Of struct tcp_info in <linux/tcp.h> (Linux 4.19): state; last_data_sent, last_data_recv and last_ack_recv in ms;
# bytes_received, notsent_bytes, bytes_sent, bytes_retrans.
_TCP_INFO_FIELDS = struct.Struct("=B43xI4xII68xQ8xI52xQQ")
_ESTABLISHED, _CLOSED = 1, 7
_SHUT = frozenset({4, 5})  # FIN_WAIT1, FIN_WAIT2: we have sent an end of stream, and the peer has not
_FIN_QUEUED = frozenset({4, 9, 11})  # FIN_WAIT1, LAST_ACK, CLOSING
_FIN_RECEIVED = frozenset({6, 8, 9, 11})  # TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING


@frozen
class Leg:
    """The state of a leg.

    Args:
        taken: bytes that were written to it, as the kernel counts them; None: unknown.
        received: bytes that came, read or not, as the kernel or the tls process counts them; None: unknown.
        silent: seconds since data was sent or received; None: unknown.
        heard: seconds since anything was received, also an acknowledgement; None: unknown.
        shut: we have sent an end of stream, and the peer has not.
        alive: neither side has closed.
        lost: it is closed in both directions although the peer has sent no end of stream.
    """

    taken: int | None
    received: int | None
    silent: float | None
    heard: float | None
    shut: bool
    alive: bool
    lost: bool


def look(stream: ByteStream) -> Leg:
    """Ask about a leg."""
    return _look_at_tcp(stream.sock) if stream.tls is None else _look_at_plain(stream.sock, stream.tls)


def taken_by(stream: ByteStream) -> int | None:
    """The `taken` of `look`, which is all that a new call asks of its two legs; usually the stream has counted it."""
    if stream.tls is not None:
        return None
    if stream.written is not None:
        return stream.written
    state, _, _, _, _, unsent, transmitted, again = _tcp_info(stream.sock)
    return _taken(state, unsent, transmitted, again)


def _tcp_info(sock: socket.socket) -> tuple[int, ...]:
    return _TCP_INFO_FIELDS.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES))


# A SYN or FIN is no byte.
def _taken(state: int, unsent: int, transmitted: int, again: int) -> int:
    return transmitted - again + unsent - (1 if unsent and state in _FIN_QUEUED else 0)


def _look_at_tcp(sock: socket.socket) -> Leg:
    state, sent, received, heard, bytes_received, unsent, transmitted, again = _tcp_info(sock)
    if bytes_received and state in _FIN_RECEIVED:
        bytes_received -= 1
    return Leg(
        taken=_taken(state, unsent, transmitted, again),
        received=bytes_received,
        silent=min(sent, received) / 1000,
        heard=heard / 1000,
        shut=state in _SHUT,
        alive=state == _ESTABLISHED,
        lost=state == _CLOSED,
    )


# The end of the peer's stream can be read again, and the table says why it came: so nothing here is ever lost.
def _look_at_plain(sock: socket.socket, tls: TlsLeg) -> Leg:
    silent = tls.silent
    hung_up = _has_hung_up(sock)
    return Leg(
        taken=None,
        received=tls.received,
        silent=silent,
        heard=silent,
        shut=not hung_up and _is_shut(sock),
        alive=not hung_up,
        lost=False,
    )


def _has_hung_up(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, 0)
    return any(mask & select.POLLHUP for _, mask in poll.poll(0))


# Sending nothing to a unix socket fails only if this side has ended its stream.
def _is_shut(sock: socket.socket) -> bool:
    try:
        sock.send(b"", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return True
    return False


def read_of(stream: ByteStream) -> int | None:
    """Bytes that were read from a leg; None: unknown.

    They are those that came without those that wait, and bytes may come between two questions: so it asks until
    nothing has come.
    """
    received = look(stream).received
    while received is not None:
        waiting, before = unread(stream.sock), received
        if (received := look(stream).received) == before:
            return before - waiting
    return None


def unread(fd: socket.socket | int) -> int:
    """Bytes that can be read from a socket or a pipe (FIONREAD)."""
    answer = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, answer)
    except OSError:
        return 0
    return answer[0]
