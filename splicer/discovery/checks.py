"""Active health checks: when each endpoint is checked, and which are unhealthy."""

from __future__ import annotations

import heapq
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import count
from types import MappingProxyType
from typing import Protocol

import trio
from attrs import define, field, frozen

from splicer.discovery.probe import PASSED, UNKNOWN
from splicer.health import HealthCheck
from splicer.model import Endpoint, Network
from splicer.pod_tls import PodProof
from splicer.policy.allowed import allowed
from splicer.policy.health import Health, first_check, lapse_seconds, next_check, phase

MOST_UNDER_WAY = 64
_LATE_SECONDS = 1.0
_EARLY = 0.5  # of an interval: a check that is later than that leaves one out

Key = tuple[str, int]  # address and port
_Place = tuple[str, int, HealthCheck, bytes, PodProof | None]


@frozen
class Target:
    """An endpoint that is to be checked.

    Args:
        upstream: the name of the upstream that wants it; the first of several.
        endpoint: the endpoint.
        host: the host that a request names.
        check: how it is checked.
        allow: see `model.Upstream`.
        first: what the connection must begin with: a PROXY header.
        proof: what the endpoint must prove by TLS; None: it speaks none.
    """

    upstream: str
    endpoint: Endpoint
    host: str
    check: HealthCheck
    allow: tuple[Network, ...] | None = None
    first: bytes = b""
    proof: PodProof | None = None


class Told(Protocol):
    """Hears of checks."""

    def checked(self, target: Target, outcome: str, seconds: float) -> None:
        """A check is over."""

    def late(self) -> None:
        """A check begins more than a second after it was due."""

    def turned(self, target: Target, outcome: str, failures: int, *, healthy: bool) -> None:
        """An endpoint has become healthy, or unhealthy after so many failures."""


@define(eq=False)
class _Checked:
    """One endpoint under one check. `lapses` is when its last verdict does, on `Checks`' clock."""

    target: Target
    phase: float
    due: float
    health: Health = field(factory=Health)
    lapses: float = 0.0
    wanted: bool = True


class Checks:
    """Checks all endpoints that are wanted, each at a time of its own, 64 at most at once.

    Args:
        probe: checks an endpoint once; see `discovery.probe`.
        told: hears of each check.
        edge: the name of this edge's host.
        random: returns numbers from 0 to 1.
        changed: called when `unhealthy` has changed.
        believed: what `unhealthy` was in an earlier process; it holds for endpoints that are not wanted yet, too.
        clock: returns the time of verdicts, seconds.
    """

    def __init__(
        self,
        probe: Callable[[Target], Awaitable[str]],
        told: Told,
        edge: str,
        random: Callable[[], float],
        changed: Callable[[], None],
        believed: Mapping[Key, float] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._told = told
        self._edge = edge
        self._random = random
        self._changed = changed
        self._believed = dict(believed)
        self._clock = clock
        self._checked: dict[_Place, _Checked] = {}
        self._queue: list[tuple[float, int, _Checked]] = []
        self._numbers = count()
        self._limit = trio.CapacityLimiter(MOST_UNDER_WAY)
        self._more = trio.Event()

    def unhealthy(self) -> Mapping[Key, float]:
        """The endpoints that some check finds unhealthy, each with the time when that lapses, unless checked again."""
        now = self._clock()
        self._believed = {key: lapses for key, lapses in self._believed.items() if lapses > now}
        found = dict(self._believed)
        for (address, port, *_), checked in self._checked.items():
            if not checked.health.healthy:
                found[address, port] = max(checked.lapses, found.get((address, port), 0.0))
        return found

    # What is still wanted keeps its state, also if another upstream wants it now.
    def want(self, targets: Iterable[Target]) -> None:
        """Check these endpoints from now on, and no others; those that may not be dialled are left out."""
        before, now = self._checked, trio.current_time()
        self._checked = {}
        for target in targets:
            endpoint, check = target.endpoint, target.check
            place = endpoint.address, endpoint.port, check, target.first, target.proof
            if place in self._checked or not allowed(endpoint.address, target.allow):
                continue
            known = before.pop(place, None)
            if known is None:
                port = endpoint.port if check.port is None else check.port
                own = phase(endpoint.address, port, self._edge)
                known = _Checked(target, own, first_check(now, own))
                if (lapses := self._believed.pop((endpoint.address, endpoint.port), 0.0)) > self._clock():
                    known.health, known.lapses = Health(healthy=False, checked=True), lapses
                self._push(known)
            known.target = target
            self._checked[place] = known
        for known in before.values():
            known.wanted = False
        if any(not known.health.healthy for known in before.values()):
            self._changed()
        self._more.set()

    async def run(self) -> None:
        """Check; until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._more = trio.Event()
                with trio.move_on_at(self._queue[0][0]) if self._queue else trio.CancelScope():
                    await self._more.wait()
                while self._queue and self._queue[0][0] <= trio.current_time():
                    due, _, checked = heapq.heappop(self._queue)
                    if checked.wanted:
                        await self._limit.acquire_on_behalf_of(checked)
                        nursery.start_soon(self._check, checked, due)

    async def _check(self, checked: _Checked, due: float) -> None:
        try:
            began, target = trio.current_time(), checked.target
            if began - due > _LATE_SECONDS:
                self._told.late()
            outcome = await self._probe(target)
            now = trio.current_time()
            self._told.checked(target, outcome, now - began)
            if checked.wanted:
                self._learn(checked, outcome)
                since = max(due, now - _EARLY * target.check.interval)
                checked.due = next_check(since, target.check, checked.phase, self._random())
                self._push(checked)
        finally:
            self._limit.release_on_behalf_of(checked)

    def _learn(self, checked: _Checked, outcome: str) -> None:
        if outcome in UNKNOWN:
            return
        target, health, failures = checked.target, checked.health, checked.health.against + 1
        checked.lapses = self._clock() + lapse_seconds(target.check)
        if health.learn(target.check, passed=outcome == PASSED):
            self._told.turned(target, outcome, failures, healthy=health.healthy)
            self._changed()
        elif not health.healthy:
            self._changed()  # the verdict lapses later now

    def _push(self, checked: _Checked) -> None:
        heapq.heappush(self._queue, (checked.due, next(self._numbers), checked))
        self._more.set()
