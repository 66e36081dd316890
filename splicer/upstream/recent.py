"""What happened lately: endpoints that could not be connected to, and calls that were opened and are over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from splicer.model import Endpoint

SECONDS = 10.0
"""So long an endpoint is tried last (nginx's `fail_timeout`), and so long a call counts that is over."""

_MOST_FAILURES = 4096
_MOST_SECONDS = 600.0  # ... and then a failed connect is forgotten, if no call came for the endpoint

Key = tuple[str, int]  # address and port, whatever name the endpoint goes by


class RecentFailures:
    """The endpoints whose connect failed, or took too long, and has not succeeded since.

    After some seconds one call tries an endpoint again, as in nginx. If all came back at once, the next call would meet
    them all, since nobody has less load than the dead.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed: dict[Key, float] = {}  # when it failed, or was given to a call again; the oldest first

    def __len__(self) -> int:
        return len(self._failed)

    def add(self, endpoint: Endpoint) -> None:
        """Remember the endpoint, instead of the oldest one if there are too many."""
        if len(self._failed) >= _MOST_FAILURES:
            del self._failed[next(iter(self._failed))]
        self._renew((endpoint.address, endpoint.port), self._clock())

    def forget(self, endpoint: Endpoint) -> None:
        """Forget the endpoint: it was connected to."""
        self._failed.pop((endpoint.address, endpoint.port), None)

    def last(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """All of these endpoints, the remembered ones behind the others, but for one that is to be tried again."""
        now = self._clock()
        while self._failed and self._failed[oldest := next(iter(self._failed))] <= now - _MOST_SECONDS:
            del self._failed[oldest]
        again = self._again(endpoints, now)
        return sorted(
            endpoints, key=lambda endpoint: endpoint is not again and (endpoint.address, endpoint.port) in self._failed
        )

    # The first that is due, if it comes before those that are well: else no call would get to it.
    def _again(self, endpoints: Sequence[Endpoint], now: float) -> Endpoint | None:
        for endpoint in endpoints:
            key = endpoint.address, endpoint.port
            since = self._failed.get(key)
            if since is None:
                return None
            if since <= now - SECONDS:
                self._renew(key, now)
                return endpoint
        return None

    def _renew(self, key: Key, now: float) -> None:
        self._failed.pop(key, None)
        self._failed[key] = now


class RecentCalls:
    """The calls that are over, of those that were opened in the last seconds.

    They are counted by the second in which they were opened, so memory grows with endpoints, not with calls.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._by_second: dict[int, dict[Key, int]] = {}
        self._sums: dict[Key, int] = {}
        self._expires = math.inf  # the first of the seconds

    def add(self, key: Key, opened: float) -> None:
        """Count a call that is over now, if it was opened so lately."""
        now = self.clock()
        self._expire(now)
        if now - opened >= SECONDS:
            return
        second = int(opened)
        calls = self._by_second.setdefault(second, {})
        calls[key] = calls.get(key, 0) + 1
        self._sums[key] = self._sums.get(key, 0) + 1
        self._expires = min(self._expires, second + 1 + SECONDS)

    def counts(self) -> Mapping[Key, int]:
        """The number of them at each endpoint; the others have none."""
        if self._sums:
            self._expire(self.clock())
        return self._sums

    def _expire(self, now: float) -> None:
        if now < self._expires:
            return
        for second in [second for second in self._by_second if second + 1 + SECONDS <= now]:
            for key, count in self._by_second.pop(second).items():
                left = self._sums[key] - count
                if left:
                    self._sums[key] = left
                else:
                    del self._sums[key]
        self._expires = min(self._by_second, default=math.inf) + 1 + SECONDS
