"""The rate limit of one route in one worker: each of N workers has the Nth part of the rate and of the burst."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from hashlib import blake2b

from splicer.model import RequestHead
from splicer.policy.buckets import Buckets
from splicer.policy.client_key import client_key
from splicer.rates import RateLimit

_LONGEST_KEY = 64  # bytes; of a longer value the digest is kept, or a few clients could fill the memory
_DIGEST_BYTES = 16


class RateLimiter:
    """Decides which requests of a route are served.

    Args:
        limit: the route's limit.
        workers: returns the number of workers that share it, at least 1.
    """

    def __init__(self, limit: RateLimit, workers: Callable[[], int]) -> None:
        self.limit = limit
        self._workers = workers
        self._field = limit.by.removeprefix("header:").encode() if limit.by.startswith("header:") else None
        self._buckets = Buckets()

    def wait(self, client: str, head: RequestHead, now: float) -> float:
        """0.0 if the request is served, else the seconds until the next one would be.

        Args:
            client: the client's numeric address, after `trusted_proxies`.
            head: the request.
            now: on a monotonic clock, seconds.
        """
        limit, workers = self.limit, self._workers()
        interval, burst = limit.rate.interval * workers, max(1.0, limit.burst / workers)
        return self._buckets.take(self._key(client, head), now, interval, burst)

    # Requests without the field share a bucket: to leave it out must not be a way around the limit.
    def _key(self, client: str, head: RequestHead) -> Hashable:
        if self._field is None:
            return client_key(client) if self.limit.by == "client" else None
        value = b",".join(head.values(self._field))
        return value if len(value) <= _LONGEST_KEY else (blake2b(value, digest_size=_DIGEST_BYTES).digest(),)
