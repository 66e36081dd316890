"""Connections to the endpoints of an upstream: which are dialled, and what follows if none can be had."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from random import uniform

import trio

from splicer.endpoint_errors import PodUnusable
from splicer.errors import (
    AttemptsTimeout,
    PodError,
    ResolveTimeout,
)
from splicer.http1.response import ResponseParser
from splicer.limit_errors import EndpointFull
from splicer.model import Upstream
from splicer.policy.deadlines import AttemptBudget
from splicer.policy.plan import Left
from splicer.policy.tiers import Purpose
from splicer.proxyproto.outgoing import local_header
from splicer.record import AttemptOutcome
from splicer.upstream.dialling import CONNECT_FAILURES, Dialer, Dialling
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.pod import PodLeg
from splicer.upstream.source import Candidates
from splicer.upstream.stage import Stage

_NOBODY: frozenset[tuple[str, int]] = frozenset()
# Two workers that want the last place at the same instant both give it back, and one of them gets it afterwards.
_MOST_COLLISIONS = 4
_PAUSE = (0.0005, 0.005)  # seconds after one; random, or they would meet again


class Connector(Dialling):
    """Connects one request to endpoints, and counts it at the present one until `release`.

    The request need not be a client's.

    Args:
        dialer: opens connections.
        endpoints: chooses endpoints.
        budget: the time for all attempts; its deadlines also limit each lookup and each connect.
        header: makes the PROXY header of an upstream's version, for upstreams that get one.
    """

    __slots__ = ("_endpoints",)

    def __init__(
        self,
        dialer: Dialer,
        endpoints: Endpoints,
        budget: AttemptBudget,
        header: Callable[[str], bytes] = local_header,
    ) -> None:
        super().__init__(dialer, budget, header)
        self._endpoints = endpoints

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

    async def could_connect(
        self, upstream: Upstream, host: str, avoid: frozenset[tuple[str, int]], purpose: Purpose = Purpose.REQUEST
    ) -> bool:
        """Whether `connect` would have an endpoint to dial; looked up if that is needed.

        Args:
            upstream: as for `connect`.
            host: as for `connect`.
            avoid: as for `connect`.
            purpose: as for `connect`.

        Raises:
            ClientGone: the request was given up.
        """
        try:
            with Stage(self, self.budget.deadlines.resolve, ResolveTimeout, lambda: host):
                return await self._endpoints.any_left(upstream, host, avoid | self._failed, purpose)
        except PodError:
            return False

    async def connect(
        self,
        upstream: Upstream,
        host: str,
        outcome: AttemptOutcome,
        parser: ResponseParser,
        *,
        avoid: frozenset[tuple[str, int]] = _NOBODY,
        purpose: Purpose = Purpose.REQUEST,
        reusable: bool = False,
    ) -> PodLeg:
        """Connect to an endpoint that has not failed this request before.

        Args:
            upstream: the upstream.
            host: the upstream's host template, rendered.
            outcome: its endpoint and durations are set, also if connecting fails.
            parser: the parser for the answer.
            avoid: addresses and ports to leave out.
            purpose: what a pod that the host names is wanted for.
            reusable: whether an idle connection may be taken.

        Raises:
            PodError: no endpoint is known, allowed or left, none could be reached, or a deadline passed.
            NoDescriptor: the process has no descriptor left.
            ClientGone: the request was given up.
        """
        self._first = b"" if upstream.proxy_protocol is None else self._header(upstream.proxy_protocol)
        self._proof = None if upstream.tls is None else upstream.tls.proof(upstream.name, upstream.host, host)
        reusable = reusable and not self._first
        choose = partial(self._choose, upstream, host, outcome, purpose, avoid)
        self._tunnel = purpose is not Purpose.REQUEST
        collisions = 0
        while True:
            choice = await choose()
            if upstream.is_judged and upstream.host.captures:
                self._dialer.outcomes.used(upstream, host, choice.endpoints[0])
            try:
                return await self._connect(choice, choose, upstream, outcome, parser, reusable=reusable)
            except EndpointFull:
                collisions += 1
                if collisions > _MOST_COLLISIONS:
                    raise
            self._dialer.balancer.loads.look_again()
            with Stage(self, math.inf, AttemptsTimeout, lambda: upstream.name):
                await trio.sleep(uniform(*_PAUSE))  # noqa: S311 - it spreads load, it keeps no secret

    # After a failed connect to a cached address, the source is asked again: pods get new addresses.
    async def _connect(
        self,
        choice: Candidates,
        choose: Callable[..., Awaitable[Candidates]],
        upstream: Upstream,
        outcome: AttemptOutcome,
        parser: ResponseParser,
        *,
        reusable: bool,
    ) -> PodLeg:
        try:
            return await self._dial(choice.endpoints, upstream, outcome, parser, reusable=reusable)
        except CONNECT_FAILURES as failure:
            if choice.fresh:
                raise
            try:
                choice = await choose(refresh=True)
            except PodError:
                raise failure from None
            return await self._dial(choice.endpoints, upstream, outcome, parser, reusable=reusable)

    async def _choose(
        self,
        upstream: Upstream,
        host: str,
        outcome: AttemptOutcome,
        purpose: Purpose,
        avoid: frozenset[tuple[str, int]],
        *,
        refresh: bool = False,
    ) -> Candidates:
        exclude = avoid | self._failed if self._failed else avoid
        try:
            if not refresh:
                at_hand = self._endpoints.at_hand(upstream, host, exclude, purpose)
                if at_hand is not None:
                    return at_hand
            started = trio.current_time()
            try:
                with Stage(self, self.budget.deadlines.resolve, ResolveTimeout, lambda: host):
                    return await self._endpoints.choose(
                        upstream, host, exclude=exclude, purpose=purpose, refresh=refresh
                    )
            finally:
                outcome.resolved = now = trio.current_time()
                outcome.resolve += now - started
        except (EndpointFull, PodUnusable) as error:
            outcome.endpoint, outcome.pod = error.endpoint, error.pod
            raise
