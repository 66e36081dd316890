"""Connections to the endpoints of an upstream: an idle one is taken from the pool, or one is dialled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import trio

from splicer.errors import (
    ConnectFailed,
    ConnectRefused,
    ConnectTimeout,
    NoDescriptor,
    NoEndpoint,
    PodError,
    ResolveTimeout,
)
from splicer.http1.response import ResponseParser
from splicer.model import Endpoint, Upstream
from splicer.net.dial import InTime, Wait, without_deadline
from splicer.net.stream import ByteStream
from splicer.net.waits import Scope, Waits
from splicer.policy.deadlines import AttemptBudget
from splicer.policy.plan import Left
from splicer.proxyproto.outgoing import local_header
from splicer.record import AttemptOutcome
from splicer.upstream.balance import Balancer, Hold
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.pod import PodLeg
from splicer.upstream.pool import IdlePool
from splicer.upstream.race import MOST, STAGGER, Race, RaceOver
from splicer.upstream.source import Candidates
from splicer.upstream.stage import Stage

_CONNECT_FAILURES = (ConnectRefused, ConnectFailed, ConnectTimeout)
_NOBODY: frozenset[tuple[str, int]] = frozenset()


class Dialer(Protocol):
    """The parts of a worker that a connector needs; a `SessionContext` has them."""

    @property
    def dial(self) -> Callable[[Endpoint, InTime], Awaitable[ByteStream]]:
        """Opens a connection; what it must wait for is awaited by the second argument (`net.dial`)."""
        ...

    @property
    def pool(self) -> IdlePool:
        """The idle connections."""
        ...

    @property
    def balancer(self) -> Balancer:
        """Counts the tunnels and attempts at each endpoint."""
        ...

    @property
    def yield_to_relay(self) -> Callable[[], None]:
        """Lets frames pass before a dial, which is a long step."""
        ...

    async def free_descriptors(self) -> bool:
        """Free descriptors for a connection when the process has none left; False: there were none to free."""
        ...


class Connector:
    """Connects one request to endpoints, and counts it at the present one until `release`.

    The request need not be a client's.

    Args:
        dialer: opens connections.
        endpoints: chooses endpoints.
        budget: the time for all attempts; its deadlines also limit each lookup and each connect.
        header: makes the PROXY header of an upstream's version, for upstreams that get one.
    """

    __slots__ = ("_dialer", "_endpoints", "_failed", "_first", "_header", "_hold", "budget", "gone", "scope", "waits")

    def __init__(
        self,
        dialer: Dialer,
        endpoints: Endpoints,
        budget: AttemptBudget,
        header: Callable[[str], bytes] = local_header,
    ) -> None:
        self._dialer = dialer
        self._endpoints = endpoints
        self.budget = budget
        self._failed: set[tuple[str, int]] = set()  # endpoints that were dialled and not excused
        self._header = header
        self._first = b""  # what the present upstream gets first on each connection
        self._hold: Hold | None = None
        self.scope: Scope | None = None
        self.waits: Waits | None = None
        self.gone = False

    def give_up(self) -> None:
        """End the present wait: the answer is no longer wanted."""
        self.gone = True
        if self.scope is not None:
            self.scope.cancel()

    def release(self) -> None:
        """No longer count at any endpoint."""
        if self._hold is not None:
            self._hold.__exit__()
            self._hold = None

    def take_hold(self) -> Hold:
        """Hand over the count to the caller, who ends it by leaving the hold."""
        assert self._hold is not None  # noqa: S101 - an attempt has succeeded
        hold, self._hold = self._hold, None
        return hold

    def excuse(self, endpoint: Endpoint) -> None:
        """Allow another attempt at an endpoint, which did not cause the failure."""
        self._failed.discard((endpoint.address, endpoint.port))

    def left(self, upstream: Upstream, host: str, avoid: frozenset[tuple[str, int]]) -> Left:
        """The known endpoints that a retry could go to; there is no lookup.

        Args:
            upstream: the upstream.
            host: the upstream's host template, rendered.
            avoid: addresses and ports to leave out.
        """
        known = self._endpoints.known(upstream, host)
        free = {(endpoint.address, endpoint.port) for endpoint in known} - avoid
        if free - self._failed:
            return Left.OTHER
        return Left.SAME if len(known) == len(free) == 1 and not upstream.host.captures else Left.NONE

    def repeat(self, upstream: Upstream, host: str) -> None:
        """Allow another attempt at all known endpoints of an upstream."""
        for endpoint in self._endpoints.known(upstream, host):
            self.excuse(endpoint)

    async def could_connect(self, upstream: Upstream, host: str, avoid: frozenset[tuple[str, int]]) -> bool:
        """Whether `connect` would have an endpoint to dial; looked up if that is needed.

        Args:
            upstream: as for `left`.
            host: as for `left`.
            avoid: as for `left`.

        Raises:
            ClientGone: the request was given up.
        """
        try:
            with Stage(self, self.budget.deadlines.resolve, ResolveTimeout, lambda: host):
                return await self._endpoints.any_left(upstream, host, avoid | self._failed)
        except PodError:
            return False

    # After a failed connect to a cached address, the source is asked again: pods get new addresses.
    async def connect(
        self,
        upstream: Upstream,
        host: str,
        outcome: AttemptOutcome,
        parser: ResponseParser,
        *,
        avoid: frozenset[tuple[str, int]] = _NOBODY,
        reusable: bool = False,
    ) -> PodLeg:
        """Connect to an endpoint that has not failed this request before.

        Args:
            upstream: the upstream.
            host: the upstream's host template, rendered.
            outcome: its endpoint and durations are set, also if connecting fails.
            parser: the parser for the answer.
            avoid: addresses and ports to leave out.
            reusable: whether an idle connection may be taken.

        Raises:
            PodError: no endpoint is known, allowed or left, none could be reached, or a deadline passed.
            NoDescriptor: the process has no descriptor left.
            ClientGone: the request was given up.
        """
        self._first = b"" if upstream.proxy_protocol is None else self._header(upstream.proxy_protocol)
        reusable = reusable and not self._first
        choice = await self._choose(upstream, host, outcome, avoid)
        try:
            return await self._dial(choice.endpoints, outcome, parser, reusable=reusable)
        except _CONNECT_FAILURES as failure:
            if choice.fresh:
                raise
            try:
                choice = await self._choose(upstream, host, outcome, avoid, refresh=True)
            except PodError:
                raise failure from None
            return await self._dial(choice.endpoints, outcome, parser, reusable=reusable)

    async def _choose(
        self,
        upstream: Upstream,
        host: str,
        outcome: AttemptOutcome,
        avoid: frozenset[tuple[str, int]],
        *,
        refresh: bool = False,
    ) -> Candidates:
        exclude = avoid | self._failed
        if not refresh and (at_hand := self._endpoints.at_hand(upstream, host, exclude)) is not None:
            return at_hand
        started = trio.current_time()
        try:
            with Stage(self, self.budget.deadlines.resolve, ResolveTimeout, lambda: host):
                choice = await self._endpoints.choose(upstream, host, exclude=exclude, refresh=refresh)
        finally:
            outcome.resolve += trio.current_time() - started
        return choice

    async def _dial(
        self, endpoints: tuple[Endpoint, ...], outcome: AttemptOutcome, parser: ResponseParser, *, reusable: bool
    ) -> PodLeg:
        dialer = self._dialer
        several = len(endpoints) > 1
        # Usually the first endpoint has one, and then there is nothing to wait for.
        if reusable and (idle := dialer.pool.take(endpoints[0])) is not None:
            self._begin(endpoints[0], outcome, chosen=several)
            return PodLeg(idle, endpoints[0], parser, reused=True)
        started = trio.current_time()
        ends = self.budget.until(self.budget.deadlines.connect, started)
        try:
            for place, endpoint in enumerate(endpoints):
                self._begin(endpoint, outcome, chosen=several)
                in_time = partial(
                    self._in_time, endpoints[place:], outcome, ends=ends, parser=parser, reusable=reusable
                )
                try:
                    leg = await self._open(endpoint, parser, in_time, reusable=reusable)
                except _CONNECT_FAILURES as failure:
                    self._drop()
                    dialer.balancer.failures.add(endpoint)
                    if endpoint is endpoints[-1] or isinstance(failure, ConnectTimeout):
                        raise
                except RaceOver as over:
                    return over.race.result()
                else:
                    if dialer.balancer.failures:
                        dialer.balancer.failures.forget(leg.endpoint)
                    return leg
        finally:
            outcome.connect += trio.current_time() - started
        raise NoEndpoint("no address is left")

    # An address that drops every packet must leave time for the next addresses of the same name.
    async def _in_time(
        self,
        endpoints: tuple[Endpoint, ...],
        outcome: AttemptOutcome,
        wait: Wait,
        *,
        ends: float,
        parser: ResponseParser,
        reusable: bool,
    ) -> None:
        now = trio.current_time()
        with Stage(self, ends - now, ConnectTimeout, lambda: outcome.endpoint):
            if len(endpoints) == 1:
                await wait()
                return
            delay = min(STAGGER, (ends - now) / min(len(endpoints), MOST))
            with trio.move_on_at(now + delay):
                await wait()
                return
            dial = partial(self._open, parser=parser, in_time=without_deadline, reusable=reusable)
            race = Race(dial, self._dialer.balancer, delay, partial(self._show, outcome))
            await race.run(endpoints[0], self.take_hold(), wait, endpoints[1:])
        self._settle(race, endpoints[0])

    # Those that were under way when another won have not failed: another attempt may go there.
    def _settle(self, race: Race, first: Endpoint) -> None:
        for endpoint in race.outrun:
            self.excuse(endpoint)
        if race.winner is not None:
            self._hold = race.winner.hold
            self._dialer.balancer.failures.forget(race.winner.endpoint)
        if race.winner is None or race.winner.endpoint is not first:
            raise RaceOver(race)

    def _begin(self, endpoint: Endpoint, outcome: AttemptOutcome, *, chosen: bool) -> None:
        self._show(outcome, endpoint)
        self._drop()
        self._hold = self._dialer.balancer.hold(endpoint, chosen=chosen)
        self._hold.__enter__()

    def _drop(self) -> None:
        if self._hold is not None:
            self._hold.drop()
            self._hold = None

    def _show(self, outcome: AttemptOutcome, endpoint: Endpoint) -> None:
        outcome.endpoint, outcome.pod = str(endpoint), endpoint.pod
        self._failed.add((endpoint.address, endpoint.port))

    # Most connections to a pod on the same node are there at once, and then no deadline is opened.
    async def _open(self, endpoint: Endpoint, parser: ResponseParser, in_time: InTime, *, reusable: bool) -> PodLeg:
        dialer = self._dialer
        idle = dialer.pool.take(endpoint) if reusable else None
        if idle is not None:
            return PodLeg(idle, endpoint, parser, reused=True)
        dialer.yield_to_relay()
        try:
            stream = await dialer.dial(endpoint, in_time)
        except NoDescriptor:
            if not await dialer.free_descriptors():
                raise
            stream = await dialer.dial(endpoint, in_time)
        if self._first:
            _introduce(stream, endpoint, self._first)
        return PodLeg(stream, endpoint, parser, reused=False, private=bool(self._first))


# A new connection's buffer takes far more than a header.
def _introduce(stream: ByteStream, endpoint: Endpoint, header: bytes) -> None:
    try:
        sent = stream.send_now(header)
    except trio.BrokenResourceError as error:
        stream.close()
        raise ConnectFailed(f"{endpoint}: reset while the PROXY header was sent") from error
    if sent < len(header):
        stream.close()
        raise ConnectFailed(f"{endpoint}: takes {sent} of {len(header)} bytes of the PROXY header")
