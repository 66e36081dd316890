"""A process's channel to the supervisor: commands in, reports out."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Generic, TypeVar

import trio

from splicer.ipc import wire
from splicer.ipc.message import Message
from splicer.ipc.messages import Unknown
from splicer.ipc.wire import Received

Order = TypeVar("Order", bound=Message)
Report = TypeVar("Report", bound=Message)


class SupervisorChannel(Generic[Order, Report]):
    """The channel to the supervisor.

    Args:
        sock: our end of the channel.
        orders: the border of the supervisor's messages.
        version: the supervisor's version of the wire.
    """

    def __init__(self, sock: socket.socket, orders: type[Order], version: int) -> None:
        self._sock = sock
        self._orders = orders
        self._version = version

    # A newer supervisor may wait for the answer to a request that this version doesn't know.
    async def commands(self) -> AsyncGenerator[Received[Order], None]:
        """Receive the supervisor's commands with their descriptors, until it is gone.

        Raises:
            ValueError: a message is malformed, or of an unsupported version.
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
            if order.message is None and order.request is not None:
                self._send(Unknown(order.request))
            yield order

    def reply(self, report: Report) -> None:
        """Send a report."""
        self._send(report)

    def _send(self, report: Message) -> None:
        with suppress(OSError):  # the end of the channel is about to be read
            wire.send(self._sock, report, version=self._version)


def received(fd: int) -> socket.socket:
    """A socket that was passed at the start of this process; its children don't inherit it."""
    os.set_inheritable(fd, False)
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock
