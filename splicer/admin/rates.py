"""Rates and latencies of the last seconds, from differences between two looks at what was counted. Pure."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable

from attrs import field, frozen

from splicer.admin.tallies import Tally

_WINDOW_SECONDS = 10.0
_EVERY = math.inf  # the upper bound of the last bucket


@frozen
class Look:
    """What had been counted at one moment.

    Args:
        at: on the monotonic clock, seconds.
        requests: by route.
        errors: of them those that were answered with 5xx, by route.
        fallbacks: by route.
        buckets: by route and upper bound in seconds, the requests that took no longer.
        calls: that were opened, by route and pod.
        failures: attempts that failed, by upstream.
    """

    at: float
    requests: Counter[str] = field(factory=Counter)
    errors: Counter[str] = field(factory=Counter)
    fallbacks: Counter[str] = field(factory=Counter)
    buckets: Counter[tuple[str, float]] = field(factory=Counter)
    calls: Counter[tuple[str, str]] = field(factory=Counter)
    failures: Counter[str] = field(factory=Counter)


# The samples that a `Look` sums up.
LOOKED_AT = frozenset(
    {
        "splicer_requests_total",
        "splicer_fallbacks_total",
        "splicer_request_duration_seconds_bucket",
        "splicer_tunnels_total",
        "splicer_attempts_total",
    }
)


def look(at: float, tallies: Iterable[Tally]) -> Look:
    """Sum up what a `Look` needs of all samples."""
    now, parts = Look(at), Counter[tuple[str, float]]()
    for tally in tallies:
        labels, value = tally.labels, int(tally.value)
        match tally.name:
            case "splicer_requests_total":
                now.requests[labels["route"]] += value
                if labels["status"] == "5xx":
                    now.errors[labels["route"]] += value
            case "splicer_fallbacks_total":
                now.fallbacks[labels["route"]] += value
            case "splicer_request_duration_seconds_bucket":
                parts[labels["route"], float(labels["le"])] += value
            case "splicer_tunnels_total":
                now.calls[labels["route"], labels["pod"]] += value
            case "splicer_attempts_total" if labels["outcome"] != "ok":
                now.failures[labels["upstream"]] += value
    below = Counter[str]()
    for route, bound in sorted(parts):
        below[route] += parts[route, bound]
        now.buckets[route, bound] = below[route]
    return now


class Window:
    """The looks of the last ten seconds."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque()

    def add(self, now: Look) -> None:
        """Add the newest look."""
        while self._looks and now.at - self._looks[0].at > _WINDOW_SECONDS:
            self._looks.popleft()
        self._looks.append(now)

    def clear(self) -> None:
        """Forget all: nobody has looked for a while."""
        self._looks.clear()

    @property
    def seconds(self) -> float:
        """The time between the oldest look and the newest."""
        return self._looks[-1].at - self._looks[0].at if self._looks else 0.0

    def per_second(self, of: str, *keys: object) -> float:
        """The rate of one of a look's counters, summed over some keys; 0 before the second look."""
        if self.seconds <= 0:
            return 0.0
        first: Counter[object] = getattr(self._looks[0], of)
        last: Counter[object] = getattr(self._looks[-1], of)
        return round(sum(max(0, last[key] - first[key]) for key in keys) / self.seconds, 3)

    def quantile(self, route: str, share: float) -> float | None:
        """The upper bound, in seconds, of the time that a share of the route's requests took; None: there was none.

        As Prometheus' histogram_quantile, it assumes an even spread within a bucket.
        """
        if self.seconds <= 0:
            return None
        first, last = self._looks[0].buckets, self._looks[-1].buckets
        bounds = sorted(bound for known, bound in last if known == route)
        counts = [max(0, last[route, bound] - first[route, bound]) for bound in bounds]
        if not counts or not counts[-1]:
            return None
        wanted, below, start = share * counts[-1], 0, 0.0
        for bound, count in zip(bounds, counts, strict=True):
            if count >= wanted:
                if bound == _EVERY:
                    return start
                return start + (bound - start) * (wanted - below) / max(1, count - below)
            below, start = count, bound
        return start
