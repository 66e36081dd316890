"""The resolver's cache of answers and errors, and how long each may be used. Times are on Trio's clock, in seconds."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Generic, TypeVar

from attrs import define, frozen

from splicer.errors import NameNotFound, ResolveFailed
from splicer.net.dns_query import Records

CAPACITY = 10_000  # entries in each of the two maps: clients choose pod names, so memory must be bounded
NEGATIVE_TTL = 1.0  # seconds; a pod that is being created must not stay unknown for longer
FAILURE_TTL = 1.0  # seconds; RFC 9520 §3.2 asks for at least one
RETRY_INTERVAL = 2.0  # seconds for which a stale answer is served before failed name servers are asked again

K = TypeVar("K")
V = TypeVar("V")


@define
class Known:
    """The last good answer for a name.

    Args:
        addresses: never empty.
        expires: until then it is served without asking the name servers.
        refresh_after: until then not even a refresh asks them.
        stale: the last lookup failed.
    """

    addresses: tuple[str, ...]
    expires: float
    refresh_after: float = -math.inf
    stale: bool = False


@frozen
class Refusal:
    """The error to raise for a name, until it expires."""

    error: NameNotFound | ResolveFailed
    expires: float


class LeastRecentlyUsed(Generic[K, V]):
    """A mapping of bounded size that drops the least recently used item."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: K) -> V | None:
        """The value, which then counts as used, or None."""
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
        """Remove the key if it is present."""
        self._items.pop(key, None)


class Cache:
    """Good answers and refusals.

    A name is in at most one of the two maps. Each has its own capacity, so a flood of invented names can't evict the
    good answers that are needed when the name servers fail.

    Args:
        max_ttl: seconds; upper bound of any record's TTL.
    """

    def __init__(self, max_ttl: float) -> None:
        self._max_ttl = max_ttl
        self._good: LeastRecentlyUsed[str, Known] = LeastRecentlyUsed(CAPACITY)
        self._bad: LeastRecentlyUsed[str, Refusal] = LeastRecentlyUsed(CAPACITY)

    def __len__(self) -> int:
        return len(self._good) + len(self._bad)

    def good(self, name: str) -> Known | None:
        """The last good answer, whatever its age."""
        return self._good.get(name)

    def refusal(self, name: str, now: float) -> NameNotFound | ResolveFailed | None:
        """The error to raise without asking the name servers, or None."""
        refusal = self._bad.get(name)
        return refusal.error if refusal is not None and now < refusal.expires else None

    def found(self, name: str, records: Records, now: float) -> None:
        """Store addresses that the name servers gave. With a TTL of 0 they are used only if the servers fail later."""
        expires = now + min(records.ttl, self._max_ttl)
        old = self._good.get(name)
        self._good.put(name, Known(records.addresses, expires, old.refresh_after if old else -math.inf))
        self._bad.discard(name)

    def gone(self, name: str, records: Records, error: NameNotFound, now: float) -> None:
        """Record that the name has no address. That answer is authoritative, so the last good answer is dropped."""
        self._good.discard(name)
        self._bad.put(name, Refusal(error, now + min(records.ttl, NEGATIVE_TTL)))

    def failed(self, name: str, error: ResolveFailed, now: float) -> None:
        """Record that the name servers failed. The last good answer, if there is one, stays in use."""
        known = self._good.get(name)
        if known is None:
            self._bad.put(name, Refusal(error, now + FAILURE_TTL))
            return
        known.stale = True
        known.refresh_after = now + RETRY_INTERVAL
        known.expires = max(known.expires, known.refresh_after)
