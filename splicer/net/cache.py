"""What is remembered of names, for how long, and what is served meanwhile. Times are on Trio's clock, in seconds."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Generic, TypeVar

from attrs import define, frozen

from splicer.errors import NameNotFound, ResolveFailed
from splicer.net.dns_query import Records

CAPACITY = 10_000  # names of each kind: clients choose pod names, and memory must not follow them
NEGATIVE_TTL = 1.0  # a pod that is just being created must not stay unknown for longer
FAILURE_TTL = 1.0  # RFC 9520 §3.2 asks for at least one second
RETRY_INTERVAL = 2.0  # with name servers down, an old answer is served that long before they are asked again

K = TypeVar("K")
V = TypeVar("V")


@define
class Known:
    """The last good answer for a name.

    Args:
        addresses: never empty.
        expires: until then it is served without a question.
        refresh_after: until then not even a refresh asks again.
        stale: the last question failed.
    """

    addresses: tuple[str, ...]
    expires: float
    refresh_after: float = -math.inf
    stale: bool = False


@frozen
class Refusal:
    """Why a name has no address, until it expires."""

    error: NameNotFound | ResolveFailed
    expires: float


class LeastRecentlyUsed(Generic[K, V]):
    """A mapping that forgets what was used longest ago."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: K) -> V | None:
        """The value, which then counts as used; None: not there."""
        value = self._items.get(key)
        if value is not None:
            self._items.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Set the value; it counts as used."""
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._capacity:
            self._items.popitem(last=False)

    def discard(self, key: K) -> None:
        """Forget the key if it is there."""
        self._items.pop(key, None)


class Cache:
    """Good answers and refusals.

    A name is in one of the two at most. They have separate room, so that a flood of invented names can't push out
    the good answers that are needed when the name servers fail.

    Args:
        max_ttl: seconds; no record is trusted for longer.
    """

    def __init__(self, max_ttl: float) -> None:
        self._max_ttl = max_ttl
        self._good: LeastRecentlyUsed[str, Known] = LeastRecentlyUsed(CAPACITY)
        self._bad: LeastRecentlyUsed[str, Refusal] = LeastRecentlyUsed(CAPACITY)

    def __len__(self) -> int:
        return len(self._good) + len(self._bad)

    def good(self, name: str) -> Known | None:
        """The last good answer, however old."""
        return self._good.get(name)

    def refusal(self, name: str, now: float) -> NameNotFound | ResolveFailed | None:
        """The error to raise without asking."""
        refusal = self._bad.get(name)
        return refusal.error if refusal is not None and now < refusal.expires else None

    def found(self, name: str, records: Records, now: float) -> None:
        """The name servers gave addresses. A TTL of 0 leaves them only for when the servers fail."""
        expires = now + min(records.ttl, self._max_ttl)
        old = self._good.get(name)
        self._good.put(name, Known(records.addresses, expires, old.refresh_after if old else -math.inf))
        self._bad.discard(name)

    def gone(self, name: str, records: Records, error: NameNotFound, now: float) -> None:
        """The name servers say that there is no address: they know, so the last good answer goes too."""
        self._good.discard(name)
        self._bad.put(name, Refusal(error, now + min(records.ttl, NEGATIVE_TTL)))

    def failed(self, name: str, error: ResolveFailed, now: float) -> None:
        """The name servers failed: the last good answer, if there is one, serves on."""
        known = self._good.get(name)
        if known is None:
            self._bad.put(name, Refusal(error, now + FAILURE_TTL))
            return
        known.stale = True
        known.refresh_after = now + RETRY_INTERVAL
        known.expires = max(known.expires, known.refresh_after)
