"""Load balancing: the order in which to try the endpoints of an upstream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import gcd
from random import Random

import trio

from splicer.model import Endpoint
from splicer.upstream.recent import Key, RecentCalls, RecentFailures

_FEW = 4  # endpoints, all of which are dialled within a second (upstream.race)
_GOLDEN_RATIO = 0.618


class Balancer:
    """The load of endpoints, counted by one worker.

    Args:
        random: the source for the policy "random".
        clock: returns seconds.
    """

    def __init__(self, random: Random | None = None, clock: Callable[[], float] = trio.current_time) -> None:
        self._random = random or Random()  # noqa: S311  # it spreads load, it keeps no secret
        self._live: dict[Key, int] = {}
        self._turns: Counter[str] = Counter()
        self._recent = RecentCalls(clock)
        self.failures = RecentFailures(clock)

    def live(self, endpoint: Endpoint) -> int:
        """The number of tunnels and attempts at the endpoint's address now."""
        return self._live.get((endpoint.address, endpoint.port), 0)

    def hold(self, endpoint: Endpoint, *, chosen: bool = False) -> Hold:
        """Count a tunnel or an attempt while the returned context is open.

        Args:
            endpoint: where it is.
            chosen: the endpoint was chosen among several; "least-tunnels" counts the call for some seconds even if it
                ends sooner, or a pod that drops its calls would get all the next ones.
        """
        return Hold(self._live, (endpoint.address, endpoint.port), self._recent if chosen else None)

    def order(self, upstream_name: str, policy: str, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """All endpoints in the order in which to try them; those of `failures` come last.

        Args:
            upstream_name: the upstream; turns are counted for each upstream, also if several share endpoints.
            policy: "least-tunnels" (equals take turns), "round-robin" or "random".
            endpoints: in any order, since name servers shuffle their answers.

        Raises:
            ValueError: there is no such policy.
        """
        if len(endpoints) < 2:
            return list(endpoints)
        match policy:
            case "least-tunnels":
                order = self._by_load(self._rotated(upstream_name, endpoints))
            case "round-robin":
                order = self._rotated(upstream_name, endpoints)
            case "random":
                order = self._random.sample(endpoints, len(endpoints))
            case _:
                raise ValueError(f"no balance policy {policy!r}")
        return self.failures.last(order) if self.failures else order

    def _by_load(self, endpoints: list[Endpoint]) -> list[Endpoint]:
        over = self._recent.counts()
        if not over:
            return sorted(endpoints, key=self.live)
        return sorted(endpoints, key=lambda endpoint: self.live(endpoint) + over.get(_address(endpoint), 0))

    # Turns need a fixed order of endpoints, because name servers return them in varying order. Neighbours in that order
    # are often pods of one node, which fail together: so the next one to try is not the neighbour.
    def _rotated(self, upstream_name: str, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        ordered, count = sorted(endpoints, key=_address), len(endpoints)
        turn = self._turns[upstream_name] % count
        self._turns[upstream_name] += 1
        step = _step(count)
        if step == 1:
            return ordered[turn:] + ordered[:turn]
        return [ordered[place % count] for place in range(turn, turn + step * count, step)]


class Hold:
    """One tunnel or attempt at an address. Addresses without any take no memory, because pods come and go."""

    __slots__ = ("_key", "_live", "_opened", "_recent")

    def __init__(self, live: dict[Key, int], key: Key, recent: RecentCalls | None = None) -> None:
        self._live = live
        self._key = key
        self._recent = recent
        self._opened = 0.0

    def __enter__(self) -> None:
        if self._recent is not None:
            self._opened = self._recent.clock()
        self._live[self._key] = self._live.get(self._key, 0) + 1

    def __exit__(self, *_: object) -> None:
        if self._recent is not None:
            self._recent.add(self._key, self._opened)
        self.drop()

    def drop(self) -> None:
        """End it as if it had not been: there was no connection, so there was no call."""
        left = self._live[self._key] - 1
        if left:
            self._live[self._key] = left
        else:
            del self._live[self._key]


def _address(endpoint: Endpoint) -> Key:
    return endpoint.address, endpoint.port


# Steps of the golden ratio come to every part of a circle soon; without a common divisor they come to every place.
@lru_cache(maxsize=256)
def _step(count: int) -> int:
    if count <= _FEW:
        return 1
    return next(step for step in range(round(count * _GOLDEN_RATIO), 0, -1) if gcd(step, count) == 1)
