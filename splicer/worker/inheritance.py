"""Passing client connections without a request from a worker that leaves to the next worker of its slot.

Closing them would reset a request that a client sends at that moment, and a POST is not sent again. Bytes that have
come and were not read are in the socket, and are passed on with it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress

import trio

from splicer.ipc import wire
from splicer.ipc.messages import Connection, Legacy
from splicer.session.idle import IdleConnection

_LATER = frozenset({errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})  # unix(7)
_POLL_INTERVAL = 0.002  # seconds; a writable channel is not enough if the kernel lacks memory or has a limit (`_LATER`)
_TIMEOUT = 1.0  # seconds for an heir to take the message of one connection
_BURST = 64  # connections in a row before other tasks have their turn


class Heir:
    """The worker that gets the connections.

    Args:
        sock: a channel to it, non-blocking.
        version: its protocol version.
    """

    def __init__(self, sock: socket.socket, version: int) -> None:
        self._sock: socket.socket | None = sock
        self._version = version
        self._one_at_a_time = trio.Lock()

    async def take(self, client: IdleConnection) -> bool:
        """Pass on a connection of which no byte is left unhandled here; it is no longer ours then.

        Returns:
            False if there is no heir any more: the connection is unchanged.
        """
        async with self._one_at_a_time:
            if self._sock is None:
                return False
            with trio.move_on_after(_TIMEOUT), suppress(OSError):
                tls = client.stream.tls
                message = Connection(client.peer, client.arrival, client.awaited, None if tls is None else tls.facts)
                await self._send(self._sock, message, client.stream.sock.fileno())
                client.stream.abandon()
                return True
            self._sock.close()
            self._sock = None
            return False

    async def _send(self, sock: socket.socket, message: Connection, fd: int) -> None:
        while True:
            try:
                wire.send(sock, message, (fd,), self._version)
            except OSError as error:
                if error.errno not in _LATER:
                    raise
                await trio.lowlevel.wait_writable(sock)
                await trio.sleep(_POLL_INTERVAL)
            else:
                return


async def inherit(sock: socket.socket, take: Callable[[socket.socket, Connection], None]) -> None:
    """Receive another worker's connections, until it is gone.

    Args:
        sock: a channel to it, non-blocking; it is closed at the end.
        take: called with each connection, non-blocking, and what is known of it.
    """
    with sock:
        taken = 0
        while True:
            try:
                heard = wire.receive(sock, Legacy)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(sock)
                continue
            except (OSError, ValueError):
                return
            if heard is None:
                return
            for fd in heard.fds:  # none if this process had no descriptor left for it
                client = socket.socket(fileno=fd)
                client.setblocking(False)
                take(client, heard.message if isinstance(heard.message, Connection) else Connection(""))
            taken += 1
            if taken % _BURST == 0:
                await trio.lowlevel.checkpoint()
