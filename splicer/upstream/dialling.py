"""Dialling the endpoints that were chosen: an idle connection is taken from the pool, or one is dialled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import trio

from splicer.errors import ConnectFailed, ConnectRefused, ConnectTimeout, NoDescriptor
from splicer.http1.response import ResponseParser
from splicer.model import Endpoint, Upstream
from splicer.net.dial import InTime, Wait, without_deadline
from splicer.net.stream import ByteStream
from splicer.net.waits import Scope, Waits
from splicer.pod_tls import PodProof
from splicer.policy.deadlines import AttemptBudget
from splicer.record import AttemptOutcome
from splicer.tls_errors import TlsTimeout
from splicer.upstream.balance import Balancer, Hold
from splicer.upstream.endpoints import full
from splicer.upstream.outcomes import Outcomes
from splicer.upstream.pod import PodLeg
from splicer.upstream.pool import IdlePool
from splicer.upstream.race import MOST, STAGGER, Race, RaceOver
from splicer.upstream.stage import Stage

CONNECT_FAILURES = (ConnectRefused, ConnectFailed, ConnectTimeout)

Take = Callable[[Endpoint], Hold | None]
"""Counts an attempt at an endpoint; None: the endpoint is full."""

Tell = Callable[[Endpoint, str], None]
"""Is told of an endpoint's failed connect, and the reason. Of several that were silent it is only told of the first:
the others had less than `deadlines.connect`."""


def _tell_nobody(_: Endpoint, __: str) -> None:
    """Of an upstream without `outlier_detection`."""


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
    def outcomes(self) -> Outcomes:
        """Is told of failed connects."""
        ...

    @property
    def yield_to_relay(self) -> Callable[[], object]:
        """Lets frames pass before a dial, which is a long step."""
        ...

    @property
    def secure(self) -> Callable[[ByteStream, PodProof, Endpoint], Awaitable[ByteStream]]:
        """Speaks TLS on a connection; raises a `ConnectFailed` if the pod does not prove who it is."""
        ...

    async def free_descriptors(self) -> bool:
        """Free descriptors for a connection when the process has none left; False: there were none to free."""
        ...


class Dialling:
    """Dials for one request, and counts it at the present endpoint until `release`.

    Args:
        dialer: opens connections.
        budget: the time for all attempts; its deadlines also limit each connect.
        header: makes the PROXY header of an upstream's version, for upstreams that get one.
    """

    __slots__ = (
        "_dialer",
        "_failed",
        "_first",
        "_header",
        "_hold",
        "_proof",
        "_tunnel",
        "budget",
        "gone",
        "scope",
        "waits",
    )

    def __init__(self, dialer: Dialer, budget: AttemptBudget, header: Callable[[str], bytes]) -> None:
        self._dialer = dialer
        self._tunnel = False  # whether the present attempt asks for one; it is limited apart from plain requests
        self.budget = budget
        self._failed: set[tuple[str, int]] = set()  # endpoints that were dialled and not excused
        self._header = header
        self._first = b""  # what the present upstream gets first on each connection
        self._proof: PodProof | None = None  # what the present upstream's pods must prove
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

    async def _dial(
        self,
        endpoints: tuple[Endpoint, ...],
        upstream: Upstream,
        outcome: AttemptOutcome,
        parser: ResponseParser,
        *,
        reusable: bool,
    ) -> PodLeg:
        dialer, limit = self._dialer, upstream.limit(tunnel=self._tunnel)
        tell = _tell_nobody if upstream.outlier_detection is None else partial(dialer.outcomes.failed, upstream)
        take = partial(dialer.balancer.take, chosen=len(endpoints) > 1, tunnel=self._tunnel, limit=limit)
        # Usually the first endpoint has an idle connection, and then there is nothing to wait for.
        begun = reusable and self._begin(endpoints[0], outcome, take)
        if begun and (idle := dialer.pool.take(endpoints[0], self._proof)) is not None:
            return PodLeg(idle, endpoints[0], parser, reused=True, proof=self._proof)
        started, reachability = trio.current_time(), dialer.balancer.reachability
        ends = self.budget.until(self.budget.deadlines.connect, started)
        try:
            for place, endpoint in enumerate(endpoints):
                if not begun and not self._begin(endpoint, outcome, take):
                    continue
                begun = False
                in_time = partial(
                    self._in_time, endpoints[place:], outcome, take, tell, ends=ends, parser=parser, reusable=reusable
                )
                try:
                    leg = await self._open(endpoint, parser, in_time, reusable=reusable)
                except CONNECT_FAILURES as failure:
                    self._drop()
                    if isinstance(failure, ConnectTimeout):
                        reachability.silent(endpoint)
                    else:
                        reachability.failed(endpoint)
                    tell(endpoint, failure.reason)
                    if endpoint is endpoints[-1] or isinstance(failure, ConnectTimeout):
                        raise
                except RaceOver as over:
                    return over.race.result()
                else:
                    if len(endpoints) > 1 or reachability:
                        reachability.connected(leg.endpoint)
                    return leg
        finally:
            outcome.connected = now = trio.current_time()
            outcome.connect += now - started
        raise full(upstream, endpoints, limit or 0, tunnel=self._tunnel)

    # An address that drops every packet must leave time for the next addresses of the same name.
    async def _in_time(
        self,
        endpoints: tuple[Endpoint, ...],
        outcome: AttemptOutcome,
        take: Take,
        tell: Tell,
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
            race = Race(dial, self._dialer.balancer, delay, partial(self._show, outcome), take, tell)
            await race.run(endpoints[0], self.take_hold(), wait, endpoints[1:])
        self._settle(race, endpoints[0])

    # Those that were under way when another won have not failed: another attempt may go there.
    def _settle(self, race: Race, first: Endpoint) -> None:
        for endpoint in race.outrun:
            self.excuse(endpoint)
        if race.winner is not None:
            self._hold = race.winner.hold
        if race.winner is None or race.winner.endpoint is not first:
            raise RaceOver(race)

    def _begin(self, endpoint: Endpoint, outcome: AttemptOutcome, take: Take) -> bool:
        self._drop()
        self._hold = take(endpoint)
        if self._hold is None:
            return False
        self._show(outcome, endpoint)
        return True

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
        idle = dialer.pool.take(endpoint, self._proof) if reusable else None
        if idle is not None:
            return PodLeg(idle, endpoint, parser, reused=True, proof=self._proof)
        dialer.yield_to_relay()
        try:
            stream = await dialer.dial(endpoint, in_time)
        except NoDescriptor:
            if not await dialer.free_descriptors():
                raise
            stream = await dialer.dial(endpoint, in_time)
        if self._first:
            _introduce(stream, endpoint, self._first)
        if self._proof is not None:
            stream = await self._secured(stream, self._proof, endpoint, in_time)
        return PodLeg(stream, endpoint, parser, reused=False, private=bool(self._first), proof=self._proof)

    # A race is under a deadline as a whole.
    async def _secured(self, stream: ByteStream, proof: PodProof, endpoint: Endpoint, in_time: InTime) -> ByteStream:
        if in_time is without_deadline:
            return await self._dialer.secure(stream, proof, endpoint)
        with Stage(self, self.budget.deadlines.connect, TlsTimeout, lambda: endpoint):
            return await self._dialer.secure(stream, proof, endpoint)


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
