"""Sending and receiving messages between processes: one JSON object per packet, with descriptors beside it."""

from __future__ import annotations

import array
import errno
import json
import os
import signal
import socket
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from splicer.ipc import codec
from splicer.ipc.message import Message, understand

VERSION = 1
_MAX_BYTES = 64 * 1024  # bytes
_SPACE = socket.CMSG_SPACE(64 * array.array("i").itemsize)

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Received(Generic[M]):
    """A received message.

    Args:
        message: the message; None: its kind is unknown to this version, and its descriptors are closed.
        fds: its descriptors: all, or none.
        lost: whether the descriptors are missing because this process had no room for them.
        version: the sender's version of the wire.
        request: the number of the request; None: it has none.
    """

    message: M | None
    fds: list[int]
    lost: bool
    version: int
    request: int | None


class TooLong(OSError):
    """The message is longer than receivers accept."""

    def __init__(self, size: int) -> None:
        super().__init__(errno.EMSGSIZE, f"a message of {size} bytes, {_MAX_BYTES} allowed")


def send(sock: socket.socket, message: Message, fds: tuple[int, ...] = (), version: int = VERSION) -> None:
    """Send one message without waiting. It has the number of its descriptors, because they may get lost on the way.

    Args:
        sock: the channel.
        message: the message.
        fds: descriptors to send with it.
        version: the receiver's version of the wire.

    Raises:
        TooLong: the message is too long, and was not sent.
        OSError: the other side does not read, or is gone.
    """
    beside = {"fds": len(fds)} if fds else {}
    data = codec.to_json({"version": version, "kind": message.KIND, **beside, **codec.to_object(message)}).encode()
    if len(data) > _MAX_BYTES:
        raise TooLong(len(data))
    if fds:
        socket.send_fds(sock, [data], fds, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
    else:
        sock.send(data, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)


def answer(message: Message) -> None:
    """Print this process's result; if the reader is gone, the process ends (pipe(7), SIGPIPE)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print(codec.to_json({"kind": message.KIND, **codec.to_object(message)}))  # noqa: T201 - to the supervisor


def answered(border: type[M], data: bytes) -> M:
    """Parse the output of such a process.

    Raises:
        ValueError: the output is no message of this border.
    """
    raw = json.loads(data)
    message = understand(border, raw) if isinstance(raw, dict) else None
    if message is None:
        raise ValueError(f"no answer: {data[:100]!r}")
    return message


def receive(sock: socket.socket, border: type[M], flags: int = 0) -> Received[M] | None:
    """Receive one message, with all its descriptors or none; None at the end. It waits only if the channel blocks.

    A process without room for all descriptors gets only some (recvmsg(2), MSG_CTRUNC); these are closed.

    Args:
        sock: the channel.
        border: the border of the messages that come here.
        flags: of recvmsg(2); with MSG_DONTWAIT the other side can't make it wait, whatever it does to the channel.

    Raises:
        BlockingIOError: there is no message.
        ValueError: the packet is malformed, or not of this version or the one before.
    """
    try:
        data, fds = _receive(sock, flags)
    except ConnectionResetError:  # may come before messages that can still be read
        data, fds = _receive(sock, flags)
    if not data:
        return None
    try:
        raw = _object(data)
        if raw is None:
            raise ValueError(f"a message of another version: {data[:100]!r}")  # noqa: TRY301 - the descriptors, below
        message = understand(border, raw)
    except ValueError:
        _close(fds)
        raise
    lost = len(fds) != raw.get("fds", len(fds))
    if lost or message is None:
        _close(fds)
        fds = []
    request = raw.get("request")
    return Received(message, fds, lost, raw["version"], request if isinstance(request, int) else None)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


# socket.recv_fds() ignores its flags, so the received descriptors would be inherited by children.
def _receive(sock: socket.socket, flags: int) -> tuple[bytes, list[int]]:
    data, rights, _, _ = sock.recvmsg(_MAX_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC | flags)
    fds = array.array("i")
    for _, _, content in rights:
        fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds)


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        return None
    known = isinstance(raw, dict) and raw.get("version") in (VERSION, VERSION - 1)
    return raw if known else None


def text_file(text: str) -> int:
    """A memfd with a text, to be sent along; the reader must not rely on its offset."""
    fd = os.memfd_create("splicer-text", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(text.encode())
    return fd


def read_text(fd: int) -> str:
    """The text in such a file, which is closed."""
    try:
        return os.pread(fd, os.fstat(fd).st_size, 0).decode()
    finally:
        os.close(fd)
