"""Reading a channel to its end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import trio

from splicer.ipc import wire
from splicer.ipc.message import Message

M = TypeVar("M", bound=Message)


async def hear_all(sock: socket.socket, border: type[M], hear: Callable[[M], None]) -> None:
    """Hear what comes on a channel until the other side is gone; other tasks run between two messages.

    Args:
        sock: the channel, non-blocking.
        border: the border of its messages, none of which has descriptors.
        hear: called with each message that this version knows.

    Raises:
        ValueError: a message is malformed, or of an unsupported version.
    """
    with suppress(OSError):
        while True:
            try:
                heard = wire.receive(sock, border)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(sock)
                continue
            if heard is None:
                return
            for fd in heard.fds:
                os.close(fd)
            if heard.message is not None:
                hear(heard.message)
            await trio.lowlevel.checkpoint()
