"""What each endpoint has to do: the tunnels, handshakes and requests of this worker there, and those of all others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from splicer.ipc.load_board import Elsewhere
from splicer.model import Endpoint
from splicer.upstream.recent import Key

_LOOK_INTERVAL = 0.1  # seconds for which the sums of the other workers are used again, to compare endpoints
_MOST_HASHES = 8192
_NOTHING_ELSEWHERE = Elsewhere({}, {})

Weigh = Callable[[Sequence[Endpoint], Sequence[int]], Sequence[float]]


class Shared(Protocol):
    """The part of `ipc.load_board.LoadRow` that `Loads` needs; a key is the `hash_of` an endpoint."""

    def tell(self, key: int, tunnels: int, opening: int, requests: int) -> bool:
        """Publish the counts of an endpoint; False: there is no room for it."""
        ...

    def move(self, key: int, more: int) -> None:
        """Say that so many tunnels have come from another worker, or been left to one."""

    def others(self, key: int) -> tuple[int, int]:
        """Calls and plain requests of an endpoint in all other workers, now."""
        ...

    def all_others(self) -> Elsewhere | None:
        """The same of all endpoints; None: nothing has changed since the last call."""
        ...


class Alone:
    """There is no other worker."""

    def tell(self, key: int, tunnels: int, opening: int, requests: int) -> bool:
        """See `Shared`."""
        return True

    def move(self, key: int, more: int) -> None:
        """See `Shared`."""

    def others(self, key: int) -> tuple[int, int]:
        """See `Shared`."""
        return 0, 0

    def all_others(self) -> None:
        """See `Shared`."""


def _nothing() -> None:
    """The default of `full`."""


class _Own:
    """What this worker has at one endpoint."""

    __slots__ = ("key", "opening", "requests", "total", "tunnels")

    def __init__(self, key: int) -> None:
        self.key = key
        self.tunnels = self.opening = self.requests = self.total = 0


class Loads:
    """Counts what this worker has at each endpoint. Endpoints without anything take no memory: pods come and go.

    Args:
        shared: where the workers tell each other.
        clock: returns seconds.
        full: called if there is no room in `shared`: the endpoint is counted by each worker alone.
    """

    def __init__(self, shared: Shared, clock: Callable[[], float], full: Callable[[], None] = _nothing) -> None:
        self._shared = shared
        self._clock = clock
        self._full = full
        self._own: dict[Key, _Own] = {}
        self._elsewhere = _NOTHING_ELSEWHERE
        self._looked = -math.inf

    def __len__(self) -> int:
        return len(self._own)

    def live(self, key: Key) -> int:
        """The number of tunnels, handshakes and requests of this worker."""
        own = self._own.get(key)
        return 0 if own is None else own.total

    def calls(self, key: Key) -> int:
        """The number of tunnels and handshakes of this worker."""
        own = self._own.get(key)
        return 0 if own is None else own.tunnels + own.opening

    # ---- to count ----

    def begin(self, key: Key, *, tunnel: bool) -> None:
        """Count a handshake, or a plain request."""
        own = self._of(key)
        if tunnel:
            own.opening += 1
        else:
            own.requests += 1
        self._tell(key, own, 1)

    def end(self, key: Key, *, tunnel: bool) -> None:
        """Count it no longer."""
        own = self._own[key]
        if tunnel:
            own.opening -= 1
        else:
            own.requests -= 1
        self._tell(key, own, -1)

    def opened(self, key: Key) -> None:
        """A handshake is a tunnel now."""
        own = self._own[key]
        own.opening -= 1
        own.tunnels += 1
        self._tell(key, own, 0)

    def adopted(self, key: Key) -> None:
        """Count a tunnel of another worker, which goes on here."""
        own = self._of(key)
        own.tunnels += 1
        self._tell(key, own, 1)
        self._shared.move(own.key, 1)

    def over(self, key: Key) -> None:
        """Count a tunnel no longer."""
        own = self._own.get(key)
        if own is not None and own.tunnels:  # else it was left to another worker
            own.tunnels -= 1
            self._tell(key, own, -1)

    def leave_all(self) -> None:
        """Count no tunnels any more: another worker has them, or is about to."""
        for key, own in list(self._own.items()):
            if own.tunnels:
                self._shared.move(own.key, -own.tunnels)
                gone, own.tunnels = own.tunnels, 0
                self._tell(key, own, -gone)

    def _of(self, key: Key) -> _Own:
        own = self._own.get(key)
        if own is None:
            own = self._own[key] = _Own(hash_of(key))
        return own

    def _tell(self, key: Key, own: _Own, more: int) -> None:
        own.total += more
        if not self._shared.tell(own.key, own.tunnels, own.opening, own.requests):
            self._full()
        if not own.total:
            del self._own[key]

    # ---- over all workers ----

    def everywhere(self, key: Key, *, tunnel: bool) -> int:
        """The number of calls, or of plain requests, in all workers now."""
        own = self._own.get(key)
        calls, requests = self._shared.others(hash_of(key) if own is None else own.key)
        if tunnel:
            return calls if own is None else calls + own.tunnels + own.opening
        return requests if own is None else requests + own.requests

    def with_room(self, endpoints: Sequence[Endpoint], limit: int, *, tunnel: bool) -> list[Endpoint]:
        """The endpoints that have less than `limit` calls, or plain requests, in all workers."""
        if len(endpoints) == 1:
            [only] = endpoints
            return [only] if self.everywhere((only.address, only.port), tunnel=tunnel) < limit else []
        self._look(_LOOK_INTERVAL)
        found = self._below(endpoints, limit, tunnel=tunnel)
        if not found and self._look(0):
            found = self._below(endpoints, limit, tunnel=tunnel)
        return found

    def _below(self, endpoints: Sequence[Endpoint], limit: int, *, tunnel: bool) -> list[Endpoint]:
        elsewhere = self._elsewhere.calls if tunnel else self._elsewhere.requests
        found = []
        for endpoint in endpoints:
            key = endpoint.address, endpoint.port
            own = self._own.get(key)
            count = 0
            if own is not None:
                count = own.tunnels + own.opening if tunnel else own.requests
            if count < limit and (not elsewhere or count + elsewhere.get(hash_of(key), 0) < limit):
                found.append(endpoint)
        return found

    def by_load(
        self, endpoints: Sequence[Endpoint], more: Mapping[Key, int], weigh: Weigh | None = None
    ) -> list[Endpoint]:
        """The endpoints, those first that have the least to do in all workers.

        Args:
            endpoints: those with as much to do stay in this order.
            more: what is to count besides.
            weigh: makes the numbers to go by of the loads; None: the loads are.
        """
        self._look(_LOOK_INTERVAL)
        own, (calls, requests) = self._own, self._elsewhere

        def load(endpoint: Endpoint) -> int:
            key = endpoint.address, endpoint.port
            here = own.get(key)
            count = 0 if here is None else here.total
            if more:
                count += more.get(key, 0)
            if calls or requests:
                number = hash_of(key)
                count += calls.get(number, 0) + requests.get(number, 0)
            return count

        if weigh is None:
            return sorted(endpoints, key=load)
        weights = weigh(endpoints, list(map(load, endpoints)))
        return [endpoints[place] for place in sorted(range(len(endpoints)), key=weights.__getitem__)]

    def look_again(self) -> None:
        """The sums of the other workers are out of date: read them for the next choice."""
        self._looked = -math.inf

    def _look(self, interval: float) -> bool:
        now = self._clock()
        if now < self._looked + interval:
            return False
        self._looked = now
        found = self._shared.all_others()
        if found is None:
            return False
        self._elsewhere = found
        return True


@lru_cache(maxsize=_MOST_HASHES)
def hash_of(key: Key) -> int:
    """The number by which processes know an endpoint; never 0."""
    address, port = key
    digest = blake2b(f"{address}:{port}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) or 1
