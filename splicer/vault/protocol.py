"""What workers, supervisors and a vault say to each other: one message a packet (SOCK_SEQPACKET, unix(7)).

Every message begins with its version. A program understands its own version and the one before, and refuses others.
Descriptors travel beside a message (SCM_RIGHTS): those of a message that sits in a queue survive its sender.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import NamedTuple

VERSION = 1
LONGEST = 64 * 1024  # bytes of a message
_MOST_DESCRIPTORS = 253  # SCM_MAX_FD of Linux; listeners come all in one message
_LATER = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})
_HEADER = struct.Struct("!BBHIQ")
_SPACE = socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)

TO_POD, TO_CLIENT = 0, 1  # the lowest bit of a journal's word; the rest is the tunnel's key


class Kind(IntEnum):
    """What a message is about; its number, flags, quantity and [descriptors]."""

    HELLO = 1  # worker → vault; [the journal]
    PIPE = 2  # worker → vault: number is its place in the journal; [the read end]
    DROP = 3  # worker → vault: number is the place of a pipe that is closed, the payload its word in the journal
    TUNNEL = 4  # both ways: number is its key, flags say `parked`, quantity its adoptions; [client, pod, pipes]
    RELEASE = 5  # worker → vault: number is the key of a tunnel that is over, the payload those of others
    SERVE = 6  # worker → vault: number is the slot it serves from now on, quantity how many slots there are
    REFUSED = 7  # vault → anybody: the version is not understood; with flags: another supervisor is there
    COUNT = 8  # supervisor → vault, and back: quantity is how many tunnels are held
    LISTENERS = 9  # supervisor → vault: keep these [listeners] and no others; the answer to ASK
    ASK = 10  # supervisor → vault: which listeners are kept
    RETURN = 11  # both ways: number is the key of a tunnel whose descriptors could not be taken


def keys(payload: bytes) -> tuple[int, ...]:
    """The keys in a payload of RELEASE."""
    count = len(payload) // 8
    return struct.unpack(f"!{count}Q", payload[: count * 8])


def pack_keys(numbers: Sequence[int]) -> bytes:
    """The other way round."""
    return struct.pack(f"!{len(numbers)}Q", *numbers)


class Message(NamedTuple):
    """One message, with the descriptors that came with it: whoever gets it owns them."""

    version: int
    kind: int
    flags: int
    quantity: int
    number: int
    payload: bytes
    fds: tuple[int, ...]

    @property
    def understood(self) -> bool:
        """Whether its version is ours or the one before."""
        return self.version in (VERSION, VERSION - 1)

    def close(self) -> None:
        """Close its descriptors."""
        _close(self.fds)


def pack(
    kind: Kind, number: int = 0, payload: bytes = b"", *, flags: int = 0, quantity: int = 0, version: int = VERSION
) -> bytes:
    """The bytes of a message; `version` is that of who is to understand it."""
    return _HEADER.pack(version, kind, flags, quantity, number) + payload


def parked(direction: int) -> int:
    """The flag that says: the bytes of this direction's pipe come with the tunnel, in TO_POD, TO_CLIENT order."""
    return 1 << direction


def send(sock: socket.socket, data: bytes, fds: tuple[int, ...] = ()) -> None:
    """Send one message without waiting.

    Raises:
        BlockingIOError: not now: the channel is full (a few hundred messages fill it), or too many descriptors are on
            their way (ETOOMANYREFS, unix(7)).
        OSError: it is broken.
    """
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        sock.sendmsg([data], rights, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
    except OSError as error:
        if error.errno in _LATER:
            raise BlockingIOError(error.errno, error.strerror) from error
        raise


def receive(sock: socket.socket) -> Message | None:
    """One message without waiting; None at the end.

    ECONNRESET may stand in front of messages that a dead sender left (unix_release_sock() of Linux sets it when the
    other queue was not empty), so it is read past.

    Raises:
        BlockingIOError: none is there, or the kernel has no memory for it now.
        ProtocolError: it is no message, or some of its descriptors could not be taken (EMFILE, recvmsg(2) MSG_CTRUNC):
            then all are closed, and `message` is what was said.
    """
    data, rights, flags, _ = _past_reset(sock)
    fds = array.array("i")
    for level, kind, content in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    if not data and not fds:
        return None
    if len(data) < _HEADER.size or flags & socket.MSG_TRUNC:
        _close(fds)
        raise ProtocolError("no message")
    version, kind, bits, quantity, number = _HEADER.unpack_from(data)
    message = Message(version, kind, bits, quantity, number, data[_HEADER.size :], tuple(fds))
    if flags & socket.MSG_CTRUNC:
        _close(fds)
        raise ProtocolError("no descriptor is left for what came", message._replace(fds=()))
    return message


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _past_reset(sock: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
    try:
        with suppress(ConnectionResetError):
            return sock.recvmsg(LONGEST, _SPACE, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
        return sock.recvmsg(LONGEST, _SPACE, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
    except OSError as error:
        if error.errno in _LATER:
            raise BlockingIOError(error.errno, error.strerror) from error
        raise


class ProtocolError(Exception):
    """What came is no message that can be used.

    Args:
        text: why.
        message: what was said, if that is known.
    """

    def __init__(self, text: str, message: Message | None = None) -> None:
        super().__init__(text)
        self.message = message


def channel() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, neither of which ever blocks."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends
