"""What the supervisor and its processes say to each other: one JSON object a packet, with descriptors beside it."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

VERSION = 1
_LONGEST = 64 * 1024  # bytes
_MOST_DESCRIPTORS = 64

Words = dict[str, Any]


def say(sock: socket.socket, words: Words, fds: tuple[int, ...] = ()) -> None:
    """Send one message without waiting.

    Raises:
        OSError: the other side reads no more, or is gone.
    """
    data = json.dumps({"version": VERSION, **words}).encode()
    if fds:
        socket.send_fds(sock, [data], fds, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
    else:
        sock.send(data, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)


def hear(sock: socket.socket) -> tuple[Words, list[int]] | None:
    """One message without waiting, with the descriptors that came beside it; None at the end.

    Raises:
        BlockingIOError: none is there.
        ValueError: it is none that this version understands: only its own and the one before.
    """
    try:
        data, fds, _, _ = socket.recv_fds(sock, _LONGEST, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # may stand in front of messages that are still there
        data, fds, _, _ = socket.recv_fds(sock, _LONGEST, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    words = json.loads(data)
    if not isinstance(words, dict) or words.get("version") not in (VERSION, VERSION - 1):
        for fd in fds:
            os.close(fd)
        raise ValueError(f"a message of another version: {data[:100]!r}")
    return words, fds


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
