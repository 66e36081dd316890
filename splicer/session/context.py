"""The context of a session: the worker's parts that it uses, and one immutable snapshot of the rules per request."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from attrs import astuple, define, field, frozen

from splicer.config.error_pages import NO_PAGES, ErrorPages
from splicer.config.schema import Limits
from splicer.model import Deadlines, Endpoint, Network
from splicer.net.dial import InTime
from splicer.net.stream import ByteStream
from splicer.net.waits import Timers
from splicer.observer import Observer
from splicer.pod_tls import PodProof
from splicer.policy.rate_limiter import RateLimiter
from splicer.record import AttemptOutcome, Record
from splicer.relay.api import TunnelEnd, TunnelSpec
from splicer.routing.passthrough import NO_PASSTHROUGH, PassthroughTable
from splicer.routing.table import RouteTable
from splicer.session.hook_set import HookSet
from splicer.session.idle import IdleClients
from splicer.session.logged_headers import LoggedHeader
from splicer.session.places import TunnelPlaces
from splicer.session.tracing import Tracing
from splicer.session.turns import Turns
from splicer.tls_errors import TlsLost
from splicer.upstream.balance import Balancer
from splicer.upstream.closing import ClosingConnections
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.outcomes import NO_OUTCOMES, Outcomes
from splicer.upstream.pool import IdlePool


@frozen
class Ruleset:
    """The configuration's rules as one immutable value: a request uses the same one from its head to its end."""

    table: RouteTable
    endpoints: Endpoints
    deadlines: Deadlines
    limits: Limits
    trusted_proxies: tuple[Network, ...]
    probes: frozenset[bytes] = frozenset()  # paths that `respond` routes serve
    logged_headers: tuple[LoggedHeader, ...] = ()
    errors: ErrorPages = NO_PAGES
    rate_limiters: Mapping[str, RateLimiter] = MappingProxyType({})  # by the names of the routes that have one
    passthrough: PassthroughTable = NO_PASSTHROUGH
    hooks: HookSet = field(factory=HookSet)
    tracing: Tracing | None = None  # None: requests aren't traced, and trace headers are passed on like any other


class ConnectionState(StrEnum):
    """The state of a client connection, with nginx's names."""

    READING = "reading"  # a request head is being read
    WRITING = "writing"  # a request is being served, or the tunnel is open
    WAITING = "waiting"  # idle between two requests

    def __init__(self, field: str) -> None:
        self.field = field  # of `StubStatus`; a member as an attribute's name is hashed by Python code each time


@define
class StubStatus:
    """The numbers of nginx's stub_status."""

    accepted: int = 0
    handled: int = 0
    requests: int = 0
    reading: int = 0
    writing: int = 0
    waiting: int = 0

    @property
    def active(self) -> int:
        """The number of open client connections."""
        return self.reading + self.writing + self.waiting

    def enter(self, place: ConnectionState) -> ConnectionState:
        """Add a connection."""
        setattr(self, place.field, getattr(self, place.field) + 1)
        return place

    def leave(self, place: ConnectionState) -> None:
        """Remove a connection."""
        setattr(self, place.field, getattr(self, place.field) - 1)

    def __add__(self, other: StubStatus) -> StubStatus:
        return StubStatus(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def move(self, source: ConnectionState, place: ConnectionState) -> ConnectionState:
        """Move a connection to another state."""
        old, new = source.field, place.field
        setattr(self, old, getattr(self, old) - 1)
        setattr(self, new, getattr(self, new) + 1)
        return place


class Vault(Protocol):
    """Registers tunnels in the vault, which keeps them if this worker dies; see `worker.vault_link.VaultLink`."""

    @property
    def connected(self) -> bool:
        """Whether the vault is there and accepts messages."""
        ...

    @property
    def stalled(self) -> bool:
        """Whether the vault is there but accepts no messages; its tunnels stay registered until it goes on."""
        ...

    async def register(self, key: int, passport: bytes, client: socket.socket, pod: socket.socket) -> None:
        """Register a tunnel."""

    def release(self, key: int, *, soon: bool, then: Callable[[], None], after: Callable[[], None]) -> None:
        """Release a tunnel; `soon`: without delay, since a reset is sent only when the last descriptor is closed.

        Once the vault has the message, `then` is called for all tunnels that are released together, and then `after`.
        """


class InFlight(Protocol):
    """A request that is being served."""

    def client_left(self) -> bool:
        """Whether the client has left."""
        ...

    def give_up(self) -> None:
        """End the request."""
        ...


@frozen
class Drains:
    """The pods, routes and endpoints that an operator drains: new calls avoid them, live calls finish.

    Args:
        pods: names.
        routes: names.
        endpoints: the addresses and ports of `pods`.
    """

    pods: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    endpoints: frozenset[tuple[str, int]] = frozenset()


def _do_nothing() -> None:
    """The default of `yield_to_relay`: no frames wait."""


def _drop_outcome(_: AttemptOutcome) -> None:
    """The default of `report`: drop the outcome."""


async def _no_tls(stream: ByteStream, _: PodProof, endpoint: Endpoint) -> ByteStream:
    """The default of `secure`: there is no tls process."""
    stream.close()
    raise TlsLost(f"{endpoint}: there is no tls process")


def _always() -> bool:
    """The default of `may_use_pod`: there is no limit."""
    return True


@define
class SessionContext:
    """The parts of one worker that its sessions use.

    A reload replaces `rules`, and an order of the supervisor `drains`, as a whole; `draining` is that of the whole
    edge; `retiring` (another worker has taken this one's place) is set once and stays.
    """

    rules: Ruleset
    dial: Callable[[Endpoint, InTime], Awaitable[ByteStream]]
    pool: IdlePool
    balancer: Balancer
    splice: Callable[[TunnelSpec[Record]], Awaitable[TunnelEnd]]  # `relay.api.Relay.splice`
    observer: Observer
    closing: ClosingConnections = field(factory=ClosingConnections)
    counts: StubStatus = field(factory=StubStatus)
    lingering: int = 0  # client connections that only wait for the client to close
    waiting: set[InFlight] = field(factory=set)
    idle: IdleClients = field(factory=IdleClients)
    places: TunnelPlaces = field(factory=TunnelPlaces)
    vault: Vault | None = None
    others: Callable[[], StubStatus] = StubStatus  # the sum of the numbers of all other workers
    turns: Turns = field(factory=Turns)
    timers: Timers = field(factory=Timers)
    may_use_pod: Callable[[], bool] = _always  # whether there is room for a connection that came in over the limit
    secure: Callable[[ByteStream, PodProof, Endpoint], Awaitable[ByteStream]] = _no_tls  # see `upstream.dialling`
    report: Callable[[AttemptOutcome], None] = _drop_outcome  # called with each attempt's outcome when it is over
    outcomes: Outcomes = NO_OUTCOMES  # is told how requests went at the endpoints that are judged
    yield_to_relay: Callable[[], object] = _do_nothing  # called between two parts of a long step, to let frames pass
    drains: Drains = Drains()
    draining: bool = False
    retiring: bool = False

    async def free_descriptors(self) -> bool:
        """See `upstream.dialling.Dialer`: idle client connections are closed."""
        return await self.idle.free_descriptors()
