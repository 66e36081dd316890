"""New client connections: they are accepted, refused at the limit, or inherited from a worker that leaves."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Protocol

import trio

from splicer.arrival import Arrival
from splicer.config.listener import EVERYBODY, Listener
from splicer.errors import SplicerError, TooManyConnections
from splicer.http1.forwarded import is_trusted
from splicer.limit_errors import TooManyFromClient
from splicer.model import Network
from splicer.net.listen import accept_forever
from splicer.net.options import granted_buffer, limit_buffers
from splicer.net.plain_stream import PlainStream
from splicer.net.stream import TcpStream
from splicer.session.client import ClientLeg
from splicer.session.connection import Connection
from splicer.session.context import ConnectionState, SessionContext
from splicer.session.passthrough import PassthroughConnection
from splicer.session.respond import send_refusal
from splicer.tls_facts import TlsFacts
from splicer.upstream.tls_links import TlsLinks
from splicer.worker.client_connections import ClientConnections, ClientKey
from splicer.worker.introduction import Introduction, Introductions
from splicer.worker.newest import Start
from splicer.worker.tls_arrivals import TlsArrivals
from splicer.worker.worker_log import WorkerLog

_MAX_REFUSALS = 256  # connections over the limit that get a 503 at once; further ones are closed
_LOG_INTERVAL = 10.0  # seconds between two `accept_backs_off` lines

Handle = Callable[[socket.socket, str], None]  # see `accept_forever`
Serve = Callable[[], Awaitable[None]]


class Limit(Protocol):
    """The part of `worker.admission.Admission` that a new connection needs."""

    def over(self) -> int:
        """The number of open connections minus the limit."""
        ...

    def may_ask(self, over: int | None = None) -> bool:
        """Whether a new connection, not counted yet, may send a request; `over` if that was just asked for."""
        ...


class Acceptor:
    """Accepts connections for the session.

    Args:
        context: the session's context.
        limit: decides which connections may come in.
        clients: counts the connections of each client, if there is a limit.
        start: starts a task.
        has_enough: whether connections should rather go to other workers.
        accepted: called after each accepted connection.
        log: the worker's log.
        tls: the tls processes.
    """

    def __init__(
        self,
        context: SessionContext,
        limit: Limit,
        clients: ClientConnections,
        start: Start,
        has_enough: Callable[[], bool],
        accepted: Callable[[], None],
        log: WorkerLog,
        tls: TlsLinks,
    ) -> None:
        self._context = context
        self._limit = limit
        self._clients = clients
        self._start = start
        self._has_enough = has_enough
        self._accepted = accepted
        self._log = log
        self._links = tls
        self._tls = TlsArrivals(context, tls)
        self._introductions = Introductions(context, limit, start, self._admit)
        self._accepting = trio.CancelScope()
        self._listeners: list[socket.socket] = []
        self._handlers: list[Handle] = []  # what to do with a connection at each of them
        self._rules: dict[str, Listener] = {}  # where headers are due, by address
        self._turned_away = 0
        self._exhausted_logged = -_LOG_INTERVAL

    def listen(self, listeners: Sequence[socket.socket], buffer: int, rules: Sequence[Listener | None] = ()) -> None:
        """Accept until `stop`.

        Args:
            listeners: listening sockets; they are owned from now on.
            buffer: bytes; see `limit_buffers`.
            rules: what holds at each of them; None, or too few: nothing beside its address.
        """
        self._listeners = list(listeners)
        self._rules = {str(rule.address): rule for rule in rules if rule is not None and rule.proxy_protocol}
        self._handlers = [self._handler(rule) for _, rule in zip(listeners, chain(rules, repeat(None)), strict=False)]
        self.limit_buffers(buffer)
        self._start(self._accept_all)

    def stop(self) -> None:
        """Stop accepting; connections in the accept queue are for other workers."""
        self._accepting.cancel()
        for listener in self._listeners:
            trio.lowlevel.notify_closing(listener)
            listener.close()
        self._listeners.clear()

    # All workers share the listening sockets, so the worker that read the file last decides.
    def limit_buffers(self, size: int) -> None:
        """Limit the buffers of future connections to `size` bytes."""
        for listener in self._listeners:
            limit_buffers(listener, size)
            if (granted := granted_buffer(listener)) < size:
                remedy = "a higher net.core.rmem_max and net.core.wmem_max"
                self._log.error("socket_buffer_capped", wanted=size, granted=granted, remedy=remedy)

    def inherit(
        self,
        sock: socket.socket,
        peer: str,
        arrival: Arrival | None = None,
        awaited: str = "",
        tls: TlsFacts | None = None,
    ) -> None:
        """Continue a connection of a worker that leaves, between two requests or before its PROXY header.

        Args:
            sock: the connection.
            peer: see `ipc.messages.Connection`, as for the others.
            arrival: how it came.
            awaited: where its header was due; if headers are no longer due there, it is a client's own connection.
            tls: the facts of its TLS connection.
        """
        stream = TcpStream(sock) if tls is None else PlainStream(sock, self._links.entry(tls))
        if awaited and (listener := self._rules.get(awaited)) is not None:
            self._introductions.begin(Introduction(stream, peer, listener), ConnectionState.WAITING)
        else:
            place = ConnectionState.WAITING
            self._serve(Connection(self._context, stream, peer, place=place, arrival=arrival), peer)

    async def _accept_all(self) -> None:
        with self._accepting:
            async with trio.open_nursery() as nursery:
                for listener, handle in zip(self._listeners, self._handlers, strict=True):
                    nursery.start_soon(accept_forever, listener, handle, self._exhausted, self._has_enough)

    def _handler(self, listener: Listener | None) -> Handle:
        if listener is None or listener.proxy_protocol is None:
            return self._accept if listener is None else partial(self._accept, listener=listener)
        return partial(self._accept_introduced, listener, listener.proxy_protocol)

    # The header comes from who may write one, or it is none: who is not among them sends what any client sends.
    def _accept_introduced(
        self, listener: Listener, senders: tuple[Network, ...], sock: socket.socket, peer: str
    ) -> None:
        if senders == EVERYBODY or is_trusted(peer, senders):
            self._context.counts.accepted += 1
            self._introductions.begin(Introduction(TcpStream(sock, written=0), peer, listener))
        else:
            self._accept(sock, peer, listener)

    def _accept(self, sock: socket.socket, peer: str, listener: Listener | None = None) -> None:
        self._context.counts.accepted += 1
        self._admit(TcpStream(sock, written=0), peer, None, listener)

    def _admit(self, stream: TcpStream, peer: str, arrival: Arrival | None, listener: Listener | None) -> None:
        profile = None if listener is None else listener.tls
        silent = profile is not None or (listener is not None and listener.passthrough)
        # The client's own limit comes first: idle connections of others must not make room for it.
        if (most := self._limit_of(peer)) is not None and self._clients.is_full(peer, most):
            self._refuse(stream, peer, TooManyFromClient(), silent=silent)
            return
        over = self._limit.over()
        if not self._limit.may_ask(over):
            self._refuse(stream, peer, TooManyConnections(), silent=silent)
            return
        self._context.counts.handled += 1
        if listener is None or not silent:
            self._serve(Connection(self._context, stream, peer, over=over >= 0, arrival=arrival), peer)
        elif listener.passthrough:
            self._count(peer, partial(self._serve_passthrough, stream, peer, arrival, profile, over=over >= 0))
        elif profile is not None:
            self._count(peer, partial(self._serve_tls, stream.sock, peer, arrival, profile))
        self._accepted()

    def _limit_of(self, peer: str) -> int | None:
        rules = self._context.rules
        most = rules.limits.connections_per_client
        return None if most is None or is_trusted(peer, rules.trusted_proxies) else most

    def _serve(self, connection: Connection, peer: str) -> None:
        self._count(peer, connection.serve)

    def _count(self, peer: str, serve: Serve) -> None:
        if self._limit_of(peer) is None:
            self._start(serve)
        else:
            self._start(self._serve_counted, serve, self._clients.enter(peer))

    async def _serve_counted(self, serve: Serve, key: ClientKey) -> None:
        try:
            await serve()
        finally:
            self._clients.leave(key)

    async def _serve_passthrough(
        self, stream: TcpStream, peer: str, arrival: Arrival | None, profile: str | None, *, over: bool
    ) -> None:
        tls = profile is not None
        connection = PassthroughConnection(self._context, stream, peer, over=over, arrival=arrival, tls=tls)
        if await connection.serve() and profile is not None:
            await self._serve_tls(stream.sock, peer, arrival, profile)

    async def _serve_tls(self, raw: socket.socket, peer: str, arrival: Arrival | None, profile: str) -> None:
        try:
            stream = await self._tls.shake_hands(raw, peer, profile)
        except Exception as error:  # noqa: BLE001 - as in `Connection.serve`
            self._context.observer.crashed(peer, None, error)
            return
        if stream is not None:
            over = self._limit.over() >= 0
            await Connection(self._context, stream, peer, over=over, arrival=arrival).serve()

    # A client that speaks TLS would not understand the answer.
    def _refuse(self, stream: TcpStream, peer: str, error: SplicerError, *, silent: bool) -> None:
        self._context.observer.connection_refused(peer, error)
        if not silent and self._turned_away < _MAX_REFUSALS:
            self._start(self._turn_away, ClientLeg(stream, peer), error)
        else:
            stream.close()

    async def _turn_away(self, client: ClientLeg, refusal: SplicerError) -> None:
        self._turned_away += 1
        try:
            await send_refusal(client, refusal, self._context.rules.errors)
            await client.linger()
        except Exception as error:  # noqa: BLE001 - as in `Connection.serve`
            self._context.observer.crashed(client.peer, None, error)
        finally:
            self._turned_away -= 1
            client.stream.close()

    def _exhausted(self, error: OSError) -> bool:
        if self._context.idle.make_room():
            return True
        now = trio.current_time()
        if now - self._exhausted_logged >= _LOG_INTERVAL:
            self._exhausted_logged = now
            self._log.error_with_tunnels("accept_backs_off", error=error.strerror)
        return False
