"""A worker's channels to the tls processes, to which it hands TLS connections over.

The answer comes in band, on the plain end (`tls.preface`): it has the facts of the connection, or why there is none.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

import trio

from splicer.ipc import wire
from splicer.ipc.tls_messages import TlsTask
from splicer.ipc.tls_table import ProcessWord, TlsEntry, TlsTable
from splicer.net.plain_stream import PlainStream
from splicer.tls.preface import HEAD_BYTES, NoPrefaceError, size_of, unpack
from splicer.tls_facts import TlsFacts, TlsFailure


@dataclass(eq=False, slots=True)
class _Channel:
    """A channel to one tls process."""

    row: int
    generation: int
    sock: socket.socket
    pending: int = 0  # it has them, or gets them just now: its row may not count them yet


class TlsLinks:
    """Hands connections over to the tls process of the newest generation that has the fewest.

    Args:
        table: descriptor of the TLS table.
    """

    def __init__(self, table: int) -> None:
        self._table = TlsTable(table)
        self._channels: list[_Channel] = []
        self._attached = trio.lowlevel.ParkingLot()

    def attach(self, row: int, generation: int, sock: socket.socket) -> None:
        """Use a tls process; the socket is owned from now on. An older channel to the same row is closed."""
        for older in [channel for channel in self._channels if channel.row == row]:
            self._drop(older)
        self._channels.append(_Channel(row, generation, sock))
        self._attached.unpark_all()

    @property
    def serve(self) -> bool:
        """Whether there is a tls process."""
        return bool(self._channels)

    def close(self) -> None:
        """Close all channels."""
        while self._channels:
            self._drop(self._channels[-1])

    def entry(self, facts: TlsFacts) -> TlsEntry:
        """What the tls process says of a connection.

        Raises:
            ValueError: there can't be such an entry.
        """
        return self._table.entry(facts)

    # The caller has the deadline. When it is over, the plain end is closed, and so the tls process gives up too.
    async def shake_hands(self, task: TlsTask, raw: socket.socket) -> PlainStream | TlsFailure:
        """Have a tls process do a handshake.

        Args:
            task: what is to be done.
            raw: the socket to the peer; it is closed here.

        Raises:
            OSError: no descriptor is left for a socket pair.
        """
        try:
            ours, its = socket.socketpair()
        except OSError:
            _close(raw)
            raise
        try:
            with its:
                ours.setblocking(False)
                channel = await self._send(task, raw, its)
            _close(raw)
            channel.pending += 1
            try:
                answer = await _read(ours)
            finally:
                channel.pending -= 1
            if isinstance(answer, TlsFacts):
                return PlainStream(ours, self.entry(answer))
        except (NoPrefaceError, ValueError, OSError) as error:
            answer = TlsFailure("tls_lost", str(error) or "the tls process has ended")
        except BaseException:
            _close(raw)
            _close(ours)
            raise
        _close(raw)
        _close(ours)
        return answer

    async def _send(self, task: TlsTask, raw: socket.socket, its: socket.socket) -> _Channel:
        while True:
            if (channel := self._best()) is None:
                await self._attached.park()
                continue
            try:
                wire.send(channel.sock, task, (raw.fileno(), its.fileno()))
            except BlockingIOError:
                with suppress(OSError, trio.ClosedResourceError):
                    await trio.lowlevel.wait_writable(channel.sock)
            except OSError:
                self._drop(channel)
            else:
                return channel

    def _best(self) -> _Channel | None:
        newest = max((channel.generation for channel in self._channels), default=0)
        channels = [channel for channel in self._channels if channel.generation == newest]
        return min(
            channels, key=lambda one: self._table.row(one.row)[ProcessWord.CONNECTIONS] + one.pending, default=None
        )

    def _drop(self, channel: _Channel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
            _close(channel.sock)


async def _read(sock: socket.socket) -> TlsFacts | TlsFailure:
    head = await _exactly(sock, HEAD_BYTES)
    return unpack(head + await _exactly(sock, size_of(head)))


# Behind the preface is what the peer has sent.
async def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            more = sock.recv(size - len(data))
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        if not more:
            raise OSError("the tls process has ended")
        data += more
    return data


def _close(sock: socket.socket) -> None:
    if sock.fileno() >= 0:
        trio.lowlevel.notify_closing(sock)
        sock.close()
