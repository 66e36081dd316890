"""Connections that a load balancer introduces: their PROXY header is read before anything else.

Invariant: no byte behind the header is taken. So the header is looked at with MSG_PEEK; what is surely a part of it is
taken at once, and a header that comes in drips wakes its task once for each.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

import trio

from splicer.arrival import Arrival
from splicer.config.listener import Listener
from splicer.errors import ClientGone, SplicerError, TooManyConnections
from splicer.net.stream import TcpStream
from splicer.net.waits import Waits
from splicer.proxyproto.decode import decode
from splicer.proxyproto.errors import HeaderMalformed
from splicer.proxyproto.facts import arrival
from splicer.session.context import ConnectionState, SessionContext
from splicer.worker.newest import Start

_LOOK_BYTES = 1024  # what one look at the socket copies; most headers have less than 200
_FIRST_BYTE_SECONDS = 1.0  # seconds; as for the first byte of a request, in `session.connection`


class Introduction:
    """A connection whose header is awaited. While none of it has come, it is idle (`session.idle`).

    Args:
        stream: the connection.
        peer: the numeric address of who connected.
        listener: where.
    """

    __slots__ = ("buffer", "listener", "peer", "stream")

    arrival = None  # as that of a client, for a worker that gets the connection: this is not known yet

    def __init__(self, stream: TcpStream, peer: str, listener: Listener) -> None:
        self.stream = stream
        self.peer = peer
        self.listener = listener
        self.buffer = bytearray()  # of the header

    @property
    def awaited(self) -> str:
        """The address where it was accepted, as the file has it."""
        return str(self.listener.address)

    async def wait_byte(self) -> bool:
        """Wait until there is something to read; True."""
        await self.stream.wait_readable()
        return True

    def read_now(self) -> tuple[str, Arrival | None] | None:
        """The client's address and how it came; None: the header has not come yet.

        Raises:
            ProxyProtocolError: there is no valid header.
            ClientGone: the peer closed before it sent a byte.
        """
        while (seen := self._look()) is not None:
            found = decode(bytes(self.buffer) + seen)
            wanted = len(seen) if found is None else found[1] - len(self.buffer)
            taken = self._take(wanted)
            self.buffer += taken
            if found is not None and len(taken) == wanted:
                header = found[0]
                told = arrival(header, self.peer, self.listener.vendor)
                return (self.peer if header.source is None else header.source[0]), told
        return None

    def _look(self) -> bytes | None:
        try:
            seen = self.stream.sock.recv(_LOOK_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._over(error.strerror or "reset") from error
        if not seen:
            raise self._over("closed")
        return seen

    def _take(self, most: int) -> bytes:
        try:
            return self.stream.sock.recv(most)
        except OSError as error:
            raise self._over(error.strerror or "reset") from error

    def late(self) -> SplicerError:
        """The error of one whose time is over."""
        return self._over("too late")

    def _over(self, what: str) -> SplicerError:
        if self.buffer:
            return HeaderMalformed(f"{what} after {len(self.buffer)} bytes of a header")
        return ClientGone(f"{what} before a header")


class MayAsk(Protocol):
    """The part of `worker.admission.Admission` that is needed here."""

    def may_ask(self) -> bool:
        """Whether a new connection, not counted yet, may send a request."""
        ...


Introduced = Callable[[TcpStream, str, Arrival | None, Listener], None]


class Introductions:
    """Has headers read, and hands the connections on.

    Args:
        context: the session's context.
        limit: decides which connections may come in.
        start: starts a task.
        introduced: gets each connection with its client's address, how it came, and where.
    """

    def __init__(self, context: SessionContext, limit: MayAsk, start: Start, introduced: Introduced) -> None:
        self._context = context
        self._limit = limit
        self._start = start
        self._introduced = introduced

    # Load balancers send the header with the connection, so there is usually nothing to wait for.
    def begin(self, one: Introduction, place: ConnectionState = ConnectionState.READING) -> None:
        """Read the header of a connection that is not counted yet.

        Args:
            one: the connection.
            place: WAITING if another worker had it.
        """
        try:
            known = one.read_now()
        except SplicerError as error:
            self._end(one, error)
            return
        except Exception as bug:  # noqa: BLE001 - it must not end the accept loop
            self._context.observer.crashed(one.peer, None, bug)
            one.stream.close()
            return
        if known is not None:
            self._introduced(one.stream, *known, one.listener)
        elif place is ConnectionState.READING and not self._limit.may_ask():
            self._end(one, TooManyConnections())
        else:
            self._start(self._wait, one, place)

    async def _wait(self, one: Introduction, place: ConnectionState) -> None:
        counts = self._context.counts
        counts.enter(place)
        known, error = None, None
        try:
            if one.buffer or await self._has_begun(one, place):
                known = await self._read(one)
            else:
                error = one.late()
        except SplicerError as failure:
            error = failure.with_traceback(None)  # its frames would hold it: a cycle
        except Exception as bug:  # noqa: BLE001 - as in `session.connection.Connection.serve`
            self._context.observer.crashed(one.peer, None, bug)
        finally:
            counts.leave(ConnectionState.READING)
            if known is None and error is None:  # a bug, or this task is cancelled
                one.stream.close()
        if known is not None:
            self._introduced(one.stream, *known, one.listener)
        elif error is not None:
            self._end(one, error)

    # A peer that sends nothing for longer than a header takes to arrive is idle: it can make room, and an heir gets it.
    async def _has_begun(self, one: Introduction, place: ConnectionState) -> bool:
        counts, head = self._context.counts, self._context.rules.deadlines.head
        if place is ConnectionState.READING:
            with trio.move_on_after(min(head, _FIRST_BYTE_SECONDS)):
                return await one.wait_byte()
            counts.move(place, ConnectionState.WAITING)
        waits = Waits(self._context.timers)
        try:
            return await self._context.idle.wait(one, waits, max(0.0, head - _FIRST_BYTE_SECONDS))
        finally:
            waits.close()
            counts.move(ConnectionState.WAITING, ConnectionState.READING)

    async def _read(self, one: Introduction) -> tuple[str, Arrival | None]:
        with trio.move_on_after(self._context.rules.deadlines.head):
            while (known := one.read_now()) is None:
                await one.stream.wait_readable()
            return known
        raise one.late()

    def _end(self, one: Introduction, error: SplicerError) -> None:
        if one.stream.sock.fileno() < 0:  # an heir has it
            return
        if isinstance(error, ClientGone):
            self._context.observer.connection_empty(one.peer)
        else:
            self._context.observer.connection_refused(one.peer, error)
        one.stream.close()
