"""One worker process: builds the rooms from a Config, and runs the nursery in which every call lives."""

from __future__ import annotations

import gc
import resource
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import trio

from splicer.config.schema import Config, ResolverSettings
from splicer.control.accesslog import AccessLog
from splicer.control.log import Logger
from splicer.control.reload import Reloader
from splicer.errors import Side, TooManyConnections
from splicer.model import authority
from splicer.net.dial import dial
from splicer.net.listen import accept_forever
from splicer.net.resolve import Resolver
from splicer.net.stream import TcpStream
from splicer.relay.hub import Hub
from splicer.relay.interleave import Interleave
from splicer.routing.table import RouteTable
from splicer.session.client import ClientLeg
from splicer.session.connection import Connection
from splicer.session.house import House, Rules
from splicer.session.respond import send_refusal
from splicer.session.watch import watch_clients
from splicer.upstream.balance import Balancer
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.pool import IdlePool

_TURNED_AWAY_AT_ONCE = 256  # connections over the limit that still get an answer; the rest is closed
_QUIET = 10.0  # seconds between two lines about the same exhaustion
_POLL = 0.05  # seconds between two looks at whether a drain is complete
_GRACE = 1.0  # seconds for closing tunnels to be logged
_GC_THRESHOLDS = (20_000, 50, 1000)  # a full collection walks every tunnel's objects, and all frames wait for it


class Worker:
    """Serves until a signal ends it.

    Args:
        config: in force at the start.
        path: its file, for a reload.
        environ: for its ``${NAME}``.
        listeners: bound and listening; they are closed at the end.
        log: where its lines go.
    """

    def __init__(
        self, config: Config, path: Path, environ: Mapping[str, str], listeners: list[socket.socket], log: Logger
    ) -> None:
        self._listeners = listeners
        self._log = log
        self._observer = AccessLog(log, config.log.query)
        self._balancer = Balancer()
        self._pool = IdlePool()
        self._hub = Hub()
        self._reloader = Reloader(path, environ, config, log, self._apply)
        self._resolver: tuple[tuple[ResolverSettings, float], Resolver] | None = None
        self._reload_wanted = trio.Event()
        self._turned_away = 0
        self._exhausted_logged = -_QUIET

    async def run(self) -> None:
        """Serve. SIGHUP reloads; SIGTERM drains; a second SIGTERM, or SIGINT, stops at once."""
        with (
            trio.open_signal_receiver(signal.SIGHUP, signal.SIGTERM, signal.SIGINT) as signals,
            self._hub.opened(),
        ):
            config = self._reloader.config
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._house = House(
                    rules=self._rules(config, RouteTable(config.routes)),
                    dial=dial,
                    pool=self._pool,
                    balancer=self._balancer,
                    splice=self._hub.splice,
                    observer=self._observer,
                )
                trio.lowlevel.add_instrument(Interleave(self._hub))
                nursery.start_soon(self._hub.run)
                nursery.start_soon(self._pool.run)
                nursery.start_soon(watch_clients, self._house.waiting)
                nursery.start_soon(self._reload)
                for listener in self._listeners:
                    nursery.start_soon(accept_forever, listener, self._accept, self._exhausted)
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_GC_THRESHOLDS)
                self._log.info("ready", listen=[_name(listener) for listener in self._listeners])
                async for signum in signals:
                    if signum == signal.SIGHUP:
                        self._reload_wanted.set()
                    elif signum == signal.SIGTERM and not self._house.draining:
                        nursery.start_soon(self._drain, nursery.cancel_scope)
                    else:
                        nursery.cancel_scope.cancel()
                        break
            self._pool.close()
            for listener in self._listeners:
                listener.close()
        self._log.info("stopped")

    # Beside the signals, so that a slow file keeps none waiting; those that come meanwhile make one more reload.
    async def _reload(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted = trio.Event()
            await self._reloader.reload()

    def _rules(self, config: Config, table: RouteTable) -> Rules:
        return Rules(
            table=table,
            endpoints=Endpoints(self._resolver_for(config), self._balancer),
            deadlines=config.deadlines,
            limits=config.limits,
            trusted_proxies=config.server.trusted_proxies,
        )

    # A resolver outlives a reload that doesn't concern it: its last good answers may be all there is.
    def _resolver_for(self, config: Config) -> Resolver:
        lifetime = max(route.deadlines.resolve for route in config.routes)
        wanted = (config.resolver, lifetime)
        if self._resolver is None or self._resolver[0] != wanted:
            self._resolver = wanted, Resolver(config.resolver, nursery=self._nursery, lifetime=lifetime)
        return self._resolver[1]

    def _apply(self, config: Config, table: RouteTable) -> None:
        self._house.rules = self._rules(config, table)
        self._observer.query = config.log.query

    # The listeners stay open: a probe must be able to hear "draining", and a refusal is better than silence.
    async def _drain(self, everything: trio.CancelScope) -> None:
        seconds = self._reloader.config.deadlines.drain
        self._house.draining = True
        self._log.info("drain", tunnels=self._hub.tunnels, exchanges=len(self._house.waiting), seconds=seconds)
        with trio.move_on_after(seconds):
            while self._is_busy():  # noqa: ASYNC110 - an event would cost every exchange, a drain is rare
                await trio.sleep(_POLL)
        if self._is_busy():
            self._log.warning("drain_expired", tunnels=self._hub.tunnels, exchanges=len(self._house.waiting))
            self._hub.end_all(Side.PROXY, "drain")
            await trio.sleep(_GRACE)
        everything.cancel()

    # A connection that is being refused is no work: clients that keep coming must not make a drain last.
    def _is_busy(self) -> bool:
        return bool(self._hub.tunnels or self._house.waiting)

    def _accept(self, sock: socket.socket, peer: str) -> None:
        counts = self._house.counts
        counts.accepted += 1
        stream = TcpStream(sock)
        if counts.active >= self._house.rules.limits.connections:
            self._observer.connection_refused(peer, TooManyConnections())
            if self._turned_away < _TURNED_AWAY_AT_ONCE:
                self._nursery.start_soon(self._turn_away, ClientLeg(stream, peer))
            else:
                stream.close()
            return
        counts.handled += 1
        self._nursery.start_soon(Connection(self._house, stream, peer).serve)

    async def _turn_away(self, client: ClientLeg) -> None:
        self._turned_away += 1
        try:
            await send_refusal(client, TooManyConnections())
            await client.linger()
        finally:
            self._turned_away -= 1
            client.stream.close()

    def _exhausted(self, error: OSError) -> None:
        now = trio.current_time()
        if now - self._exhausted_logged >= _QUIET:
            self._exhausted_logged = now
            self._log.error("accept_backs_off", error=error.strerror, tunnels=self._hub.tunnels)


def raise_descriptor_limit() -> None:
    """Lift the soft RLIMIT_NOFILE to the hard one: a tunnel takes two descriptors, and 1,024 is for shells."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _name(listener: socket.socket) -> str:
    return authority(*listener.getsockname()[:2])
