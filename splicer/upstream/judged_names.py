"""The endpoints of names, those that are ejected or unhealthy behind the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

from attrs import evolve

from splicer.endpoint_errors import PodEjected, PodUnhealthy
from splicer.model import Endpoint, Upstream
from splicer.policy.endpoint_flags import EJECTED
from splicer.policy.tiers import Purpose, Verdicts, heeded, unfit
from splicer.upstream.source import Candidates, EndpointSource


class JudgedNames:
    """Looks for verdicts in the endpoint snapshot, for upstreams with `outlier_detection` or `health_check` alone.

    Args:
        names: knows names.
        verdicts: returns the snapshot's.
        clock: returns seconds, on the monotonic clock.
    """

    def __init__(
        self, names: EndpointSource, verdicts: Callable[[], Verdicts], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = names
        self._verdicts = verdicts
        self._clock = clock

    def at_hand(self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST) -> Candidates | None:
        """See `EndpointSource`."""
        found = self._names.at_hand(upstream, host, purpose)
        return found if found is None or not upstream.is_judged else self._judged(upstream, found, purpose)

    async def find(
        self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST, *, refresh: bool = False
    ) -> Candidates:
        """See `EndpointSource`."""
        found = await self._names.find(upstream, host, purpose, refresh=refresh)
        return self._judged(upstream, found, purpose) if upstream.is_judged else found

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        """See `EndpointSource`."""
        return self._names.known(upstream, host)

    def of_pods(self, pods: Collection[str]) -> Iterable[Endpoint]:
        """See `EndpointSource`."""
        return self._names.of_pods(pods)

    def _judged(self, upstream: Upstream, found: Candidates, purpose: Purpose) -> Candidates:
        verdicts = self._verdicts()
        if not verdicts:
            return found
        now = self._clock()
        if upstream.names_pod and purpose is Purpose.CALL_OR_FALLBACK:
            refuse_unfit(found.endpoints, verdicts, now)
        keys = [(endpoint.address, endpoint.port) for endpoint in found.endpoints]
        behind = frozenset(key for key in keys if unfit(verdicts.get(key), now))
        return evolve(found, behind=heeded(behind, len(keys))) if behind else found


# A pod with an address of each family is one pod.
def refuse_unfit(endpoints: Iterable[Endpoint], verdicts: Verdicts, now: float) -> None:
    """Refuse a call to a pod all of whose endpoints are unfit: the route's fallback can serve it at once.

    Args:
        endpoints: the pod's, at least one.
        verdicts: by address and port.
        now: on the monotonic clock, seconds.

    Raises:
        PodEjected: the last of them is ejected.
        PodUnhealthy: it fails its health check.
    """
    reason, last = 0, None
    for last in endpoints:
        reason = unfit(verdicts.get((last.address, last.port)), now)
        if not reason:
            return
    if last is None:
        return
    if reason == EJECTED:
        raise PodEjected(f"{last.pod} is ejected: too many of its last calls have failed", last)
    raise PodUnhealthy(f"{last.pod} fails its health check", last)
