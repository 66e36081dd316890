"""The protocol between workers, supervisors and a vault: one message per packet (SOCK_SEQPACKET, unix(7)).

Every message begins with its version. A program accepts its own version and the one before, and refuses others.
Descriptors are sent beside a message (SCM_RIGHTS); if the message is queued, they survive its sender.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

VERSION = 2
FIRST_WITH_CRASHES = 2  # the version that counts crashes, and knows LEAVE
LONGEST = 64 * 1024  # bytes of a message
_MOST_DESCRIPTORS = 253  # SCM_MAX_FD of Linux; one message has all listeners
_LATER = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})
_HEADER = struct.Struct("!BBHIQ")
_SEND_FLAGS = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)  # a sum of Python's flags takes as long as a system call
_RECEIVE_FLAGS = int(socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
_DATA_CUT, _RIGHTS_CUT = int(socket.MSG_TRUNC), int(socket.MSG_CTRUNC)
_SPACE = socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)

_CRASHES_SHIFT, _MOST_CRASHES = 2, 3

HAS_TLS = 1  # the vault runs tls processes

TO_POD, TO_CLIENT = 0, 1  # the lowest bit of a journal's word; the rest is the tunnel's key


class Kind(IntEnum):
    """The kinds of messages, with the meaning of number, flags, quantity and [descriptors]."""

    HELLO = 1  # worker → vault; [the journal]
    PIPE = 2  # worker → vault: number is the pipe's place in the journal; [the read end]
    DROP = 3  # worker → vault: number is the place of a pipe that is closed, the payload its word in the journal
    # Both ways: number is its key, flags are `parked` and `crashed`, quantity its adoptions; [client, pod, pipes].
    TUNNEL = 4
    RELEASE = 5  # worker → vault: number is the key of a tunnel that is over, the payload has the keys of others
    SERVE = 6  # worker → vault: number is the slot that it serves from now on, quantity the number of slots
    REFUSED = 7  # vault → any: the version is not supported; with flags: another supervisor is connected
    COUNT = 8  # supervisor → vault, and back: quantity is the number of tunnels held; the answer's flags: `HAS_TLS`
    LISTENERS = 9  # supervisor → vault: keep these [listeners] and no others; also the answer to ASK
    ASK = 10  # supervisor → vault: asks for the listeners that are kept
    RETURN = 11  # both ways: number is the key of a tunnel whose descriptors could not be accepted
    LEAVE = 12  # worker → vault: it leaves its tunnels on purpose; its end is no crash
    TLS = 13  # supervisor → vault that `HAS_TLS`: [a channel for its orders, the TLS table that its workers use]


def keys(payload: bytes) -> tuple[int, ...]:
    """The keys in a payload of RELEASE."""
    count = len(payload) // 8
    return struct.unpack(f"!{count}Q", payload[: count * 8])


def pack_keys(numbers: Sequence[int]) -> bytes:
    """The payload of RELEASE for these keys."""
    return struct.pack(f"!{len(numbers)}Q", *numbers)


class Message(NamedTuple):
    """One message with its descriptors, which belong to the receiver."""

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
    """The bytes of a message; `version` is the receiver's."""
    return _HEADER.pack(version, kind, flags, quantity, number) + payload


def parked(direction: int) -> int:
    """The flag that a pipe with bytes of this direction comes with the tunnel, in the order TO_POD, TO_CLIENT."""
    return 1 << direction


def crashed(times: int, version: int = VERSION) -> int:
    """The flags that so many workers have crashed with the tunnel; more than 3 count as 3. Version 1 has none."""
    return min(times, _MOST_CRASHES) << _CRASHES_SHIFT if version >= FIRST_WITH_CRASHES else 0


def crashes(flags: int) -> int:
    """The number of workers that have crashed with the tunnel."""
    return flags >> _CRASHES_SHIFT & _MOST_CRASHES


def send(sock: socket.socket, data: bytes, fds: tuple[int, ...] = ()) -> None:
    """Send one message without waiting.

    Raises:
        BlockingIOError: the channel is full (a few hundred messages fill it), or too many descriptors are in flight
            (ETOOMANYREFS, unix(7)).
        OSError: the channel is broken.
    """
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        sock.sendmsg([data], rights, _SEND_FLAGS)
    except OSError as error:
        if error.errno in _LATER:
            raise BlockingIOError(error.errno, error.strerror) from error
        raise


def receive(sock: socket.socket) -> Message | None:
    """Receive one message without waiting; None at the end.

    ECONNRESET may come before messages of a dead sender (unix_release_sock() of Linux sets it when the other queue was
    not empty), so reading goes on after it.

    Raises:
        BlockingIOError: there is no message, or the kernel has no memory for it now.
        ProtocolError: the packet is no message, or some descriptors could not be received (EMFILE, recvmsg(2)
            MSG_CTRUNC): then all are closed, and the error has the message.
    """
    data, rights, flags, _ = _past_reset(sock)
    fds = array.array("i")
    for level, kind, content in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    if not data and not fds:
        return None
    if len(data) < _HEADER.size or flags & _DATA_CUT:
        _close(fds)
        raise ProtocolError("no message")
    version, kind, bits, quantity, number = _HEADER.unpack_from(data)
    message = Message(version, kind, bits, quantity, number, data[_HEADER.size :], tuple(fds))
    if flags & _RIGHTS_CUT:
        _close(fds)
        raise ProtocolError("no descriptor is left for what came", message._replace(fds=()))
    return message


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _past_reset(sock: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
    try:
        try:
            return sock.recvmsg(LONGEST, _SPACE, _RECEIVE_FLAGS)
        except ConnectionResetError:
            return sock.recvmsg(LONGEST, _SPACE, _RECEIVE_FLAGS)
    except OSError as error:
        if error.errno in _LATER:
            raise BlockingIOError(error.errno, error.strerror) from error
        raise


class ProtocolError(Exception):
    """A received packet can't be used.

    Args:
        text: why.
        message: the message without its descriptors, if it could be read.
    """

    def __init__(self, text: str, message: Message | None = None) -> None:
        super().__init__(text)
        self.message = message


def channel() -> tuple[socket.socket, socket.socket]:
    """Two connected, non-blocking ends."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends
