"""The endpoints of upstreams with `discovery`: from the endpoint snapshot, and from name servers below it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache

import trio
from attrs import frozen

from splicer.endpoint_errors import PodNotReady, PodUnknown
from splicer.errors import NoEndpoint, PodError
from splicer.model import Endpoint, Service, Upstream
from splicer.policy.endpoint_flags import KnownEndpoint
from splicer.policy.tiers import Key, Purpose, Verdicts, of_pod, of_service
from splicer.upstream.judged_names import refuse_unfit
from splicer.upstream.snapshot import EndpointSnapshot, KnownService
from splicer.upstream.source import Candidates, EndpointSource

_NO_VERDICTS: Verdicts = {}
_POLL_INTERVAL = 0.02  # seconds between two looks for a Service that only discovery can find
_MOST_KEPT = 4096  # pods of one Service whose candidates are remembered


@frozen
class _Kept:
    """The candidates of a Service as they follow from its endpoints and the verdicts.

    Args:
        candidates: None: there are none.
        verdicts: those that they follow from.
        lapses: when others will follow, on the monotonic clock.
    """

    candidates: Candidates | None
    verdicts: Verdicts
    lapses: float


class SnapshotSource:
    """Looks into the endpoint snapshot first, and never waits for what that has.

    What the snapshot says may be old while the API server is away: then it is used all the same, and name servers are
    asked once an endpoint could not be connected to, or a pod is missing.

    Args:
        names: knows names: all endpoints of other upstreams, and those of a Service that is not in the snapshot.
        snapshot: the endpoint snapshot.
        fixed: names whose addresses the file gives, in lower case: they take precedence.
        clock: returns seconds, on the monotonic clock.
    """

    def __init__(
        self,
        names: EndpointSource,
        snapshot: EndpointSnapshot,
        fixed: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = names
        self._snapshot = snapshot
        self._fixed = frozenset(fixed)
        self._clock = clock

    def at_hand(self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST) -> Candidates | None:
        """See `EndpointSource`."""
        service = self._asked(upstream, host)
        if service is not None:
            known = self._snapshot.service(service.key)
            if known is not None and (found := self._found(upstream, service, known, host, purpose)) is not None:
                return found
        return self._names.at_hand(upstream, host, purpose) if upstream.port else None

    async def find(
        self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST, *, refresh: bool = False
    ) -> Candidates:
        """See `EndpointSource`."""
        service = self._asked(upstream, host)
        if service is None:
            return await self._names.find(upstream, host, purpose, refresh=refresh)
        if not upstream.port:
            return await self._await(upstream, service, host, purpose)
        known, found = self._snapshot.service(service.key), None
        if known is not None:
            found = self._found(upstream, service, known, host, purpose)
            if found is not None and (not refresh or self._snapshot.is_current(known.found)):
                return found
        try:
            return await self._names.find(upstream, host, purpose, refresh=refresh)
        except PodError:
            if found is None:
                raise
        return found

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        """See `EndpointSource`."""
        service = self._asked(upstream, host)
        known = None if service is None else self._snapshot.service(service.key)
        if service is not None and known is not None:
            try:
                found = self._found(upstream, service, known, host, Purpose.REQUEST)
            except PodError:
                return ()
            if found is not None:
                return found.endpoints
        return self._names.known(upstream, host)

    def of_pods(self, pods: Collection[str]) -> Iterator[Endpoint]:
        """All endpoints of these pods in the snapshot, whatever upstream leads to them."""
        for found in self._snapshot.services.values():
            for row in found.rows or ():
                if row.pod in pods:
                    yield _endpoint(row)

    def _asked(self, upstream: Upstream, host: str) -> Service | None:
        service = upstream.service
        if service is None or (self._fixed and host.lower().removesuffix(".") in self._fixed):
            return None
        return service

    # The port has a name, whose number only the Service's endpoints have. The caller's deadline ends this.
    async def _await(self, upstream: Upstream, service: Service, host: str, purpose: Purpose) -> Candidates:
        while True:
            known = self._snapshot.service(service.key)
            if known is not None:
                found = self._found(upstream, service, known, host, purpose)
                if found is not None:
                    return found
                if self._snapshot.is_current(known.found):
                    raise NoEndpoint(f"{service}: no such Service or port, and its name alone says no port")
            await trio.sleep(_POLL_INTERVAL)

    def _found(
        self, upstream: Upstream, service: Service, known: KnownService, host: str, purpose: Purpose
    ) -> Candidates | None:
        """What the snapshot says; None: name servers must be asked."""
        if known.found.rows is None:
            return None
        verdicts = self._snapshot.verdicts if upstream.is_judged else _NO_VERDICTS
        if service.of_pod:
            return self._of_pod(service, known, host.partition(".")[0], purpose, verdicts)
        kept = known.kept.get(upstream.is_judged)
        if kept is None or kept.verdicts is not verdicts or (kept.lapses < math.inf and kept.lapses <= self._clock()):
            kept = known.kept[upstream.is_judged] = self._of_service(known, verdicts)
        if kept.candidates is None and self._snapshot.is_current(known.found):
            raise NoEndpoint(f"{service} has no endpoint that is ready")
        candidates: Candidates | None = kept.candidates
        return candidates

    def _of_service(self, known: KnownService, verdicts: Verdicts) -> _Kept:
        tiers = of_service(known.found.rows or (), verdicts, self._clock())
        found = _candidates(tiers.endpoints, tiers.behind) if tiers.endpoints else None
        return _Kept(found, verdicts, tiers.lapses)

    def _of_pod(
        self, service: Service, known: KnownService, pod: str, purpose: Purpose, verdicts: Verdicts
    ) -> Candidates | None:
        key = pod, purpose is Purpose.REQUEST
        found = known.kept.get(key)
        if found is None:
            rows = of_pod(known.of_pod(pod), purpose)
            if not rows:
                if not self._snapshot.is_current(known.found):
                    return None
                raise _refusal(service, pod, known.of_pod(pod))
            if len(known.kept) >= _MOST_KEPT:
                known.kept.clear()
            found = known.kept[key] = _candidates(rows)
        if verdicts and purpose is Purpose.CALL_OR_FALLBACK:
            refuse_unfit(found.endpoints, verdicts, self._clock())
        candidates: Candidates = found
        return candidates


def _refusal(service: Service, pod: str, rows: Iterable[KnownEndpoint]) -> PodError:
    row = next(iter(rows), None)
    if row is None:
        return PodUnknown(f"{service} has no pod {pod}")
    return PodNotReady(f"{pod} is not ready", _endpoint(row))


def _candidates(rows: Collection[KnownEndpoint], behind: frozenset[Key] = frozenset()) -> Candidates:
    since = {(row.address, row.port): row.since for row in rows if row.since}
    return Candidates(tuple(map(_endpoint, rows)), fresh=False, behind=behind, since=since)


def _endpoint(row: KnownEndpoint) -> Endpoint:
    return _made(row.pod or row.address, row.address, row.port)


# After most changes, nearly all endpoints of a Service are those of before.
@lru_cache(maxsize=4096)
def _made(pod: str, address: str, port: int) -> Endpoint:
    return Endpoint(pod, address, port)
