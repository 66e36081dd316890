"""The supervisor as one of its processes sees it: orders come, answers go."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Generic, TypeVar

import trio

from splicer.ipc import wire
from splicer.ipc.message import Message
from splicer.ipc.wire import Received

Order = TypeVar("Order", bound=Message)
Report = TypeVar("Report", bound=Message)


class SupervisorChannel(Generic[Order, Report]):
    """The supervisor's channel.

    Args:
        sock: our end of it.
        orders: the border of what it sends.
        version: that it speaks.
    """

    def __init__(self, sock: socket.socket, orders: type[Order], version: int) -> None:
        self._sock = sock
        self._orders = orders
        self._version = version

    async def commands(self) -> AsyncIterator[Received[Order]]:
        """What it says, with the descriptors that come along, until it is gone.

        Raises:
            ValueError: it speaks a version that this program doesn't understand.
        """
        while True:
            try:
                order = wire.receive(self._sock, self._orders)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)
                continue
            except OSError:
                return
            if order is None:
                return
            yield order

    def reply(self, report: Report) -> None:
        """Tell it something."""
        with suppress(OSError):  # its end is about to be read
            wire.send(self._sock, report, version=self._version)


def received(fd: int) -> socket.socket:
    """A socket that came with the start of this process, and goes no further."""
    os.set_inheritable(fd, False)
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock
