"""Health checks in the discovery process: they are made, counted, logged and published."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import trio

from splicer.discovery.checks import Checks, Key, Target
from splicer.discovery.members import Members
from splicer.discovery.probe import DEADLINE, NO_PROCESS, probe
from splicer.discovery.publisher import Publisher
from splicer.net.stream import ByteStream
from splicer.observe.log import Logger
from splicer.observer import Observer
from splicer.policy.endpoint_flags import UNHEALTHY
from splicer.upstream.closing import ClosingConnections
from splicer.upstream.tls_links import TlsLinks
from splicer.upstream.tls_pods import TlsPods

_REFRESH_SECONDS = 10.0  # by which a verdict lapses later before that is published: each check is no reason


class Counts(Protocol):
    """Counts checks."""

    def checked(self, upstream: str, outcome: str, seconds: float) -> None:
        """A check is over."""

    def check_late(self) -> None:
        """A check begins late."""


class HealthChecks:
    """Checks the endpoints of all upstreams with `health_check`.

    Args:
        publisher: has the verdicts; those of an earlier process hold until they lapse.
        members: knows the endpoints.
        tls: the tls processes, for pods that are spoken to by TLS.
        log: the logger.
        counts: counts checks.
        edge: the name of this edge's host.
        random: returns numbers from 0 to 1.
        clock: returns the time on the monotonic clock, seconds.
    """

    def __init__(
        self,
        publisher: Publisher,
        members: Members,
        tls: TlsLinks,
        log: Logger,
        counts: Counts,
        edge: str,
        random: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._members = members
        self._tls = tls
        self._pods = TlsPods(tls, Observer())
        self._log = log
        self._counts = counts
        self._clock = clock
        self._closing = ClosingConnections()
        self._published = {
            key: verdict.lapses for key, verdict in publisher.verdicts.items() if verdict.flags & UNHEALTHY
        }
        self._checks = Checks(self._probe, self, edge, random, self._publish, self._published, clock)

    async def run(self) -> None:
        """Check; until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._checks.run)
                nursery.start_soon(self._closing.run)
        finally:
            self._closing.close()

    def look(self) -> None:
        """The endpoints may have changed."""
        self._checks.want(self._members.targets())
        self._publish()

    def checked(self, target: Target, outcome: str, seconds: float) -> None:
        """See `checks.Told`."""
        self._counts.checked(target.upstream, outcome, seconds)

    def late(self) -> None:
        """See `checks.Told`."""
        self._counts.check_late()

    def turned(self, target: Target, outcome: str, failures: int, *, healthy: bool) -> None:
        """See `checks.Told`."""
        where = {"upstream": target.upstream, "pod": target.endpoint.pod, "endpoint": str(target.endpoint)}
        if healthy:
            self._log.info("endpoint_healthy", **where)
        else:
            self._log.warning("endpoint_unhealthy", **where, failure=outcome, after=failures)

    async def _probe(self, target: Target) -> str:
        proof, endpoint = target.proof, target.endpoint
        if proof is None:
            return await probe(endpoint, target.host, target.check, self._closing, target.first)

        async def secure(stream: ByteStream) -> ByteStream:
            return await self._pods.secure(stream, proof, endpoint)

        outcome = await probe(endpoint, target.host, target.check, self._closing, target.first, secure)
        return outcome if self._tls.serve or outcome != DEADLINE else NO_PROCESS

    def _publish(self) -> None:
        unhealthy = self._checks.unhealthy()
        for key in self._published.keys() - unhealthy.keys():
            self._amend(key, 0, 0.0)
        for key, lapses in unhealthy.items():
            if lapses - self._published.get(key, 0.0) > _REFRESH_SECONDS:
                self._amend(key, UNHEALTHY, lapses)

    def _amend(self, key: Key, flag: int, lapses: float) -> None:
        self._publisher.amend(key, UNHEALTHY, flag, lapses=lapses)
        if flag:
            self._published[key] = lapses
        else:
            del self._published[key]
