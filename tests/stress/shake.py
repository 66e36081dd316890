"""A handshake, byte by byte, on the client's side and on the pod's."""

from __future__ import annotations

import os
import re
import socket
from errno import EINPROGRESS

import trio
from attrs import frozen

from tests.kit.calls import ACCEPT
from tests.stress.streams import Flow

_READ = 64 * 1024  # bytes
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class HalfAnswer(Exception):
    """The answer is incomplete or invalid."""


@frozen
class Answer:
    """A complete answer.

    Args:
        status: 101 if the tunnel is open; else another one.
        rest: the bytes that came together with a 101, after it.
    """

    status: int
    rest: bytes = b""


async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
    """Connect a non-blocking socket.

    Raises:
        OSError: such as `ConnectionRefusedError`.
    """
    error = sock.connect_ex(address)
    if error == EINPROGRESS:
        await trio.lowlevel.wait_writable(sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def send_head(sock: socket.socket, head: bytes, early: int, flow: Flow) -> None:
    """Send a head and the first bytes of the stream in one send; the kernel may take fewer of the latter."""
    count = sock.send(head + bytes(flow.ahead(early)))
    assert count >= len(head)
    flow.took(count - len(head))


async def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """Read up to the first empty line; return the head, and the bytes after it.

    Both are empty if the connection ends or is reset before the first byte.

    Raises:
        HalfAnswer: the connection ended or was reset in the middle.
    """
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        more = await _some(sock)
        if not more and data:
            raise HalfAnswer(f"half a head: {data!r}")
        if not more:
            return b"", b""
        data += more
    return data[: end + 4], data[end + 4 :]


async def read_answer(sock: socket.socket) -> Answer | None:
    """Read the answer to a handshake with the usual key; None if the connection ended before its first byte.

    Raises:
        HalfAnswer: the answer is incomplete, or a wrong 101.
    """
    head, rest = await read_head(sock)
    if not head:
        return None
    status = int(head.split(b" ", 2)[1])
    if status == 101:
        if b" %s\r\n" % ACCEPT not in head:
            raise HalfAnswer(f"a wrong 101: {head!r}")
        return Answer(status, rest)
    length = _LENGTH.search(head)
    while length and len(rest) < int(length[1]):
        more = await _some(sock)
        if not more:
            raise HalfAnswer(f"half a body: {head + rest!r}")
        rest += more
    return Answer(status)


async def _some(sock: socket.socket) -> bytes:
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            return sock.recv(_READ)
        except BlockingIOError:
            continue
        except OSError:
            return b""
