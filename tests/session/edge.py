"""A whole session room in memory and in virtual time: scripted clients, names and pods around real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from typing import Any, cast

import trio
from attrs import define, evolve, field
from trio.testing import wait_all_tasks_blocked

from splicer.arrival import Arrival
from splicer.config.error_pages import ErrorPage, by_status
from splicer.config.schema import Limits
from splicer.errors import NameNotFound, Side, SplicerError
from splicer.model import Deadlines, Endpoint, Network, Respond, Route, Upstream
from splicer.net.dial import InTime
from splicer.net.resolve import Answer
from splicer.observer import Observer
from splicer.record import Record
from splicer.relay.api import TunnelEnd, TunnelSpec
from splicer.routing.pattern import compile_pattern
from splicer.routing.table import RouteTable
from splicer.routing.template import parse_template
from splicer.session.connection import Connection
from splicer.session.context import Ruleset, SessionContext
from splicer.upstream.balance import Balancer
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.pool import IdlePool
from splicer.upstream.source import NameSource
from tests.kit.http import read_request
from tests.session.watching import watch_clients
from tests.session.wire import TIMEOUT, End, Peer, StreamEnded, connection

APP, SPARE = "10.0.0.1", "10.0.0.2"
CLIENT = "192.0.2.7"

Script = Callable[[Peer], Awaitable[None]]
"""What a pod does with one connection; when it returns, the connection stays open."""


def upstream(name: str, host: str | None = None, **more: Any) -> Upstream:
    return Upstream(name, parse_template(host or f"{name}.test"), 8000, **more)


APP_UPSTREAM, SPARE_UPSTREAM = upstream("app"), upstream("spare")


def route(kind: Any = "prefix", text: str = "/", **more: Any) -> Route:
    """A route to `app`, without a fallback; deadlines that are not given are those of design §7."""
    if "respond" not in more and "redirect" not in more:
        more.setdefault("upstream", APP_UPSTREAM)
    rewrite = more.pop("rewrite", None)
    deadlines = Deadlines(**more.pop("deadlines", {}))
    return Route(
        index=1,
        name=more.pop("name", "a route"),
        pattern=compile_pattern(kind, text),
        deadlines=deadlines,
        rewrite=rewrite and parse_template(rewrite),
        **more,
    )


def fallback_route(**more: Any) -> Route:
    """From `app` to `spare`."""
    return route(fallback=SPARE_UPSTREAM, **more)


HEALTH = route("path", "/health", name="health", respond=Respond(200, b"healthy\n"))


@define
class Names:
    """A resolver. `served`: addresses, an error, or None for no answer at all; `cache`: what it knows already."""

    served: dict[str, tuple[str, ...] | SplicerError | None]
    cache: dict[str, tuple[str, ...]] = field(factory=dict)
    asked: list[str] = field(factory=list)
    found: dict[str, tuple[str, ...]] = field(factory=dict)  # the last answers

    def cached(self, name: str) -> Answer | None:
        addresses = self.cache.get(name)
        return None if addresses is None else Answer(addresses, fresh=False)

    def known(self, name: str) -> tuple[str, ...]:
        return self.found.get(name) or self.cache.get(name, ())

    async def resolve(self, name: str, *, refresh: bool = False) -> Answer:
        self.asked.append(name)
        served = self.served.get(name, NameNotFound(f"there is no name {name}"))
        if served is None:
            await trio.sleep_forever()
        if isinstance(served, SplicerError):
            raise served
        assert served is not None
        self.found[name] = served
        return Answer(served, fresh=True)


@define
class Told(Observer):
    """An observer: what it was told, each record as it was at that moment."""

    opened: list[Record] = field(factory=list)
    closed: list[Record] = field(factory=list)
    ended: list[Record] = field(factory=list)
    times: list[float] = field(factory=list)
    refused: list[tuple[str, SplicerError]] = field(factory=list)
    crashes: list[tuple[str, Record | None, Exception]] = field(factory=list)
    counted: int = 0  # tunnels that are over

    def tunnel_opened(self, record: Record) -> None:
        self.opened.append(deepcopy(record))

    def tunnel_over(self, record: Record) -> None:
        self.counted += 1

    def tunnel_closed(self, record: Record) -> None:
        assert self.counted > len(self.closed), "it is counted first"
        self.closed.append(deepcopy(record))

    def exchange_ended(self, record: Record) -> None:
        self.ended.append(deepcopy(record))
        self.times.append(trio.current_time())

    def connection_refused(self, client: str, error: SplicerError) -> None:
        self.refused.append((client, error))

    def crashed(self, client: str, record: Record | None, error: Exception) -> None:
        self.crashes.append((client, record, error))


Spliced = TunnelSpec[Record]
"""One call of `splice`; its sockets are our `End`s."""


@define
class Edge:
    """The room. `pods`: by address, a script, an error to raise on connecting, or None for a silent address."""

    nursery: trio.Nursery
    names: Names
    told: Told
    context: SessionContext = field(init=False)
    pods: dict[str, Script | SplicerError | None] = field(factory=dict)
    dialled: list[str] = field(factory=list)
    spliced: list[Spliced] = field(factory=list)
    on_splice: Callable[[Spliced], Awaitable[TunnelEnd]] | None = None
    starved: OSError | None = None  # no pipe can be had
    capacity: int = 1 << 16
    streams: list[End] = field(factory=list)  # what connections were given
    pod_peers: list[Peer] = field(factory=list)
    serving: set[trio.CancelScope] = field(factory=set)  # one for each connection that is open
    expect_crash: bool = False

    def use(
        self, *routes: Route, trusted: tuple[Network, ...] = (), errors: tuple[ErrorPage, ...] = (), **limits: Any
    ) -> None:
        """Serve by these routes from now on; `Deadlines` that belong to no route are those of the first."""
        self.context.rules = Ruleset(
            table=RouteTable(tuple(evolve(each, index=index) for index, each in enumerate(routes, 1))),
            endpoints=Endpoints(NameSource(self.names), self.context.balancer),
            deadlines=routes[0].deadlines,
            limits=Limits(**limits),
            trusted_proxies=trusted,
            errors=by_status(errors),
        )

    def connect(self, address: str = CLIENT, *, over: bool = False, arrival: Arrival | None = None) -> Peer:
        """A new client; `over`: it came in over the limit; `arrival`: as its PROXY header has told."""
        ours, theirs = connection(self.capacity)
        self.streams.append(ours)
        self.nursery.start_soon(self._serve, Connection(self.context, ours, address, over=over, arrival=arrival))
        return Peer(theirs)

    async def ask(self, raw: bytes) -> Peer:
        """A new client that sends something."""
        client = self.connect()
        await client.send(raw)
        return client

    async def idle(self) -> None:
        """Wait until every connection is over."""
        await wait_all_tasks_blocked()
        with trio.fail_after(TIMEOUT):
            while self.serving:  # noqa: ASYNC110  # virtual time
                await trio.sleep(1)

    def stop(self) -> None:
        """What a worker does that stops at once."""
        for scope in self.serving:
            scope.cancel()

    @property
    def record(self) -> Record:
        """The only record that an exchange has left."""
        assert len(self.told.ended) == 1, self.told.ended
        return self.told.ended[0]

    async def _serve(self, served: Connection) -> None:
        with trio.CancelScope() as scope:
            self.serving.add(scope)
            try:
                await served.serve()
            finally:
                self.serving.discard(scope)

    async def dial(self, endpoint: Endpoint, in_time: InTime) -> End:
        self.dialled.append(endpoint.address)
        script = self.pods[endpoint.address]
        if script is None:
            await in_time(trio.sleep_forever)
        if isinstance(script, SplicerError):
            raise script
        assert script is not None
        ours, theirs = connection(self.capacity)
        self.streams.append(ours)
        self.pod_peers.append(Peer(theirs))
        self.nursery.start_soon(_play, script, self.pod_peers[-1])
        return ours

    async def splice(self, spec: Spliced) -> TunnelEnd:
        self.spliced.append(spec)
        if self.starved is not None:
            raise self.starved
        if spec.register is not None:
            await spec.register()
        end = await (self.on_splice or relay)(spec)
        spec.counts.to_client -= spec.uncounted
        return end

    def check_clean(self) -> None:
        """What must hold when all connections are over, however they went."""
        context, counts = self.context, self.context.counts
        assert (counts.reading, counts.writing, counts.waiting, context.lingering) == (0, 0, 0, 0)
        assert not context.waiting, "somebody is still watched"
        assert len(context.balancer.loads) == 0, "an endpoint is still held"
        assert (context.places._open, context.places._asking) == ({}, {}), "a route's place is still taken"
        pooled = {stream for idle in context.pool._idle.values() for _, stream in idle}
        pooled |= {stream for _, stream in context.closing._waiting}
        assert [stream for stream in self.streams if stream.ended is None and stream not in pooled] == []
        if not self.expect_crash:
            assert not self.told.crashes, self.told.crashes


async def _play(script: Script, pod: Peer) -> None:
    try:
        await script(pod)
    except (StreamEnded, trio.BrokenResourceError):
        pod.end.close()


async def relay(call: Spliced) -> TunnelEnd:
    """A splice that is right and slow; it ends with the first stream that does."""
    client, pod, counts = cast("End", call.client), cast("End", call.pod), call.counts
    closers: list[Side] = []

    async def copy(side: Side, source: End, sink: End, first: bytes) -> None:
        data = first
        with suppress(trio.BrokenResourceError):
            while True:
                await sink.send_all(data)
                if side is Side.CLIENT:
                    counts.to_pod += len(data)
                else:
                    counts.to_client += len(data)
                data = await source.receive_some(4096)
                if not data:
                    break
        closers.append(side)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(copy, Side.CLIENT, client, pod, call.to_pod)
        nursery.start_soon(copy, Side.POD, pod, client, call.to_client)
    return TunnelEnd(closers[0], "eof")


@asynccontextmanager
async def open_edge(*routes: Route) -> AsyncIterator[Edge]:
    """An edge between `app` and `spare`, each with one address; at the end nothing may be left of it."""
    names = Names({"app.test": (APP,), "spare.test": (SPARE,)})
    async with trio.open_nursery() as nursery:
        edge = Edge(nursery, names, Told())
        edge.context = SessionContext(
            rules=cast("Ruleset", None),
            dial=edge.dial,
            pool=IdlePool(),
            balancer=Balancer(),
            splice=edge.splice,
            observer=edge.told,
        )
        edge.use(*(routes or (route(),)))
        nursery.start_soon(watch_clients, edge.context.waiting)
        nursery.start_soon(edge.context.closing.run)
        nursery.start_soon(edge.context.timers.run)
        yield edge
        edge.stop()
        await edge.idle()
        edge.check_clean()
        nursery.cancel_scope.cancel()


def answering(raw: bytes, *, times: int = 1_000_000, close: bool = False) -> Script:
    """A pod that answers each request, once it has it whole, with the same bytes."""

    async def script(pod: Peer) -> None:
        for _ in range(times):
            await read_request(pod)
            await pod.send(raw)
        if close:
            pod.end.close()

    return script


def playing(*steps: Script) -> Script:
    """A pod that plays another script on each connection."""
    left = list(steps)

    async def script(pod: Peer) -> None:
        await left.pop(0)(pod)

    return script
