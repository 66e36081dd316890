"""How messages go between splicer's processes: one JSON object a packet, with descriptors beside it."""

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
    """A message that has come.

    Args:
        message: None: it is of a kind that this version doesn't know, and its descriptors are closed.
        fds: the descriptors beside it, or none of them.
        lost: whether there are none because they found no room here.
        version: that the sender speaks.
        request: the number of the request; None: it has none.
    """

    message: M | None
    fds: list[int]
    lost: bool
    version: int
    request: int | None


class TooLong(OSError):
    """A message that no reader would take."""

    def __init__(self, size: int) -> None:
        super().__init__(errno.EMSGSIZE, f"a message of {size} bytes, {_MAX_BYTES} allowed")


def send(sock: socket.socket, message: Message, fds: tuple[int, ...] = (), version: int = VERSION) -> None:
    """Send one message without waiting. It says how many descriptors go with it: they may get lost on the way.

    Args:
        sock: the channel.
        message: what to send.
        fds: descriptors to go with it.
        version: that the other side speaks.

    Raises:
        TooLong: it was not sent.
        OSError: the other side reads no more, or is gone.
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
    """Print what this process was started to find out; it ends if nobody is left to hear it (pipe(7), SIGPIPE)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print(codec.to_json({"kind": message.KIND, **codec.to_object(message)}))  # noqa: T201 - to the supervisor


def answered(border: type[M], data: bytes) -> M:
    """What such a process has printed.

    Raises:
        ValueError: it is nothing that this version understands.
    """
    raw = json.loads(data)
    message = understand(border, raw) if isinstance(raw, dict) else None
    if message is None:
        raise ValueError(f"no answer: {data[:100]!r}")
    return message


def receive(sock: socket.socket, border: type[M]) -> Received[M] | None:
    """One message without waiting, with the descriptors that came beside it, or none of them; None at the end.

    A process that has none left gets only some (recvmsg(2), MSG_CTRUNC); those are closed.

    Args:
        sock: the channel.
        border: whose messages come here.

    Raises:
        BlockingIOError: none is there.
        ValueError: it is none that this version understands: only its own and the one before.
    """
    try:
        data, fds = _receive(sock)
    except ConnectionResetError:  # may stand in front of messages that are still there
        data, fds = _receive(sock)
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


# socket.recv_fds() would do, but for its flags, which it forgets: what it received would be inherited.
def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    data, rights, _, _ = sock.recvmsg(_MAX_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC)
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
