"""What the supervisor and its processes say to each other: one JSON object a packet, with descriptors beside it."""

from __future__ import annotations

import array
import errno
import json
import os
import signal
import socket
from typing import Any

VERSION = 1
_MAX_BYTES = 64 * 1024  # bytes
_SPACE = socket.CMSG_SPACE(64 * array.array("i").itemsize)

Message = dict[str, Any]


class TooLong(OSError):
    """A message that no reader would take."""

    def __init__(self, size: int) -> None:
        super().__init__(errno.EMSGSIZE, f"a message of {size} bytes, {_MAX_BYTES} allowed")


def send(sock: socket.socket, words: Message, fds: tuple[int, ...] = (), version: int = VERSION) -> None:
    """Send one message without waiting. It says how many descriptors go with it: they may get lost on the way.

    Args:
        sock: the channel.
        words: the message.
        fds: descriptors to go with it.
        version: that the other side speaks.

    Raises:
        TooLong: it was not sent.
        OSError: the other side reads no more, or is gone.
    """
    data = json.dumps({"version": version, **({"fds": len(fds)} if fds else {}), **words}).encode()
    if len(data) > _MAX_BYTES:
        raise TooLong(len(data))
    if fds:
        socket.send_fds(sock, [data], fds, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
    else:
        sock.send(data, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)


def answer(words: Message) -> None:
    """Print what this process was started to find out; it ends if nobody is left to hear it (pipe(7), SIGPIPE)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print(json.dumps(words))  # noqa: T201 - to the supervisor


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """One message without waiting, with the descriptors that came beside it, or none of them; None at the end.

    A process that has none left gets only some (recvmsg(2), MSG_CTRUNC); those are closed.

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
    words = _understood(data)
    if words is None:
        for fd in fds:
            os.close(fd)
        raise ValueError(f"a message of another version: {data[:100]!r}")
    if len(fds) != words.get("fds", len(fds)):
        for fd in fds:
            os.close(fd)
        fds = []
    return words, fds


# socket.recv_fds() would do, but for its flags, which it forgets: what it received would be inherited.
def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    data, rights, _, _ = sock.recvmsg(_MAX_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for _, _, content in rights:
        fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds)


def _understood(data: bytes) -> Message | None:
    try:
        words = json.loads(data)
    except (ValueError, RecursionError):
        return None
    known = isinstance(words, dict) and words.get("version") in (VERSION, VERSION - 1)
    return words if known else None


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
