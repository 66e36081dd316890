"""What a session is given: the rooms it works with, and one immutable snapshot of the rules per request."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

from attrs import astuple, define, field, frozen

from splicer.config.schema import Limits
from splicer.model import AttemptOutcome, Deadlines, Endpoint, Network, Record
from splicer.net.stream import ByteStream
from splicer.observer import Observer
from splicer.relay.api import TunnelEnd, TunnelSpec
from splicer.routing.table import RouteTable
from splicer.session.idle import IdleClients
from splicer.session.turns import Turns
from splicer.upstream.balance import Balancer
from splicer.upstream.closing import ClosingConnections
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.pool import IdlePool


@frozen
class Ruleset:
    """What the configuration says, as one value: a request works with one from its head to its end."""

    table: RouteTable
    endpoints: Endpoints
    deadlines: Deadlines
    limits: Limits
    trusted_proxies: tuple[Network, ...]
    probes: frozenset[bytes] = frozenset()  # paths that `respond` routes answer


class ConnectionState(StrEnum):
    """Where a client connection stands, in nginx's words."""

    READING = "reading"  # its request head is being read
    WRITING = "writing"  # its request is being served, or its tunnel is open
    WAITING = "waiting"  # it idles between two requests


@define
class StubStatus:
    """nginx's stub_status numbers."""

    accepted: int = 0
    handled: int = 0
    requests: int = 0
    reading: int = 0
    writing: int = 0
    waiting: int = 0

    @property
    def active(self) -> int:
        """Client connections that are open."""
        return self.reading + self.writing + self.waiting

    def enter(self, place: ConnectionState) -> ConnectionState:
        """Count a connection in."""
        setattr(self, place, getattr(self, place) + 1)
        return place

    def leave(self, place: ConnectionState) -> None:
        """Count a connection out."""
        setattr(self, place, getattr(self, place) - 1)

    def __add__(self, other: StubStatus) -> StubStatus:
        return StubStatus(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def move(self, source: ConnectionState, place: ConnectionState) -> ConnectionState:
        """Count a connection elsewhere."""
        self.leave(source)
        return self.enter(place)


class Vault(Protocol):
    """`worker.vault_link.VaultLink`: who keeps a tunnel should this worker die."""

    @property
    def connected(self) -> bool:
        """Whether it is there, and takes what it is told."""
        ...

    @property
    def stalled(self) -> bool:
        """Whether it is there and takes nothing: what it was told of it holds until it goes on."""
        ...

    async def register(self, key: int, passport: bytes, client: socket.socket, pod: socket.socket) -> None:
        """Keep a tunnel."""

    def release(self, key: int, *, soon: bool, then: Callable[[], None], after: Callable[[], None]) -> None:
        """Keep it no longer; `soon`: a reset waits for the last descriptor.

        When that was said, `then` is called for all that are released together, and then `after`.
        """


class InFlight(Protocol):
    """A request that is being served."""

    def client_left(self) -> bool:
        """Whether its client has left."""
        ...

    def give_up(self) -> None:
        """End it."""
        ...


@frozen
class Drains:
    """What an operator wants to become empty: new calls avoid it, live ones finish.

    Args:
        pods: by name.
        routes: by name.
        endpoints: addresses and ports of these pods.
    """

    pods: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    endpoints: frozenset[tuple[str, int]] = frozenset()


def _nothing() -> None:
    """Nobody waits."""


def _unheard(_: AttemptOutcome) -> None:
    """Drop an outcome."""


def _always() -> bool:
    """There is no limit."""
    return True


@define
class SessionContext:
    """One worker's rooms.

    `rules` and `drains` are replaced whole by a reload or an order; `draining` is that of the whole edge; `retiring`
    (another worker has taken this one's place) is set once and stays.
    """

    rules: Ruleset
    dial: Callable[[Endpoint], Awaitable[ByteStream]]
    pool: IdlePool
    balancer: Balancer
    splice: Callable[[TunnelSpec[Record]], Awaitable[TunnelEnd]]  # `relay.api.Relay.splice`
    observer: Observer
    closing: ClosingConnections = field(factory=ClosingConnections)
    counts: StubStatus = field(factory=StubStatus)
    lingering: int = 0  # client connections that wait for nothing but their client's end
    waiting: set[InFlight] = field(factory=set)
    idle: IdleClients = field(factory=IdleClients)
    vault: Vault | None = None
    others: Callable[[], StubStatus] = StubStatus  # the numbers of all other workers together
    turns: Turns = field(factory=Turns)
    may_use_pod: Callable[[], bool] = _always  # whether there is room for a connection that came in over the limit
    report: Callable[[AttemptOutcome], None] = _unheard  # called with each attempt's outcome as soon as it is over
    yield_to_relay: Callable[[], None] = _nothing  # between two parts of a long step: frames may pass meanwhile
    drains: Drains = Drains()
    draining: bool = False
    retiring: bool = False

    async def free_descriptors(self) -> bool:
        """See `upstream.client.Dialer`: idle client connections are closed."""
        return await self.idle.free_descriptors()
