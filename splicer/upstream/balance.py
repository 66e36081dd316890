"""Load balancing: the order in which to try the endpoints of an upstream."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from math import gcd
from random import Random

import trio
from attrs import frozen

from splicer.model import Endpoint
from splicer.policy.slow_start import slowed
from splicer.upstream.loads import Alone, Loads, Shared
from splicer.upstream.reachability import FEW, Reachability
from splicer.upstream.reachability import Shared as SharedConnects
from splicer.upstream.recent import Key, RecentCalls

_GOLDEN_RATIO = 0.618


def _nothing() -> None:
    """The default of `full`."""


@frozen
class SlowStart:
    """Which endpoints are new.

    Args:
        window: for how long one is, in seconds.
        since: since when those are ready that were not from the start, on the monotonic clock.
    """

    window: float
    since: Mapping[Key, float]


class Balancer:
    """Counts what endpoints have to do, and orders them.

    Args:
        random: the source for the policy "random".
        clock: returns seconds.
        shared: where the workers tell each other.
        full: called if there is no room in `shared`.
        monotonic: returns seconds on the monotonic clock, which all processes have in common.
        connects: where the workers tell each other how connects went.
    """

    def __init__(
        self,
        random: Random | None = None,
        clock: Callable[[], float] = trio.current_time,
        shared: Shared | None = None,
        full: Callable[[], None] = _nothing,
        monotonic: Callable[[], float] = time.monotonic,
        connects: SharedConnects | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._random = random or Random()  # noqa: S311  # it spreads load, it keeps no secret
        self._turns: Counter[str] = Counter()
        self._recent = RecentCalls(clock)
        self.loads = Loads(Alone() if shared is None else shared, clock, full)
        self.reachability = Reachability(clock, connects)

    def live(self, endpoint: Endpoint) -> int:
        """The number of tunnels and attempts of this worker at the endpoint's address now."""
        return self.loads.live((endpoint.address, endpoint.port))

    def hold(self, endpoint: Endpoint, *, chosen: bool = False, tunnel: bool = False) -> Hold:
        """Count an attempt while the returned context is open.

        Args:
            endpoint: where it is.
            chosen: the endpoint was chosen among several; "least-tunnels" counts the call for some seconds even if it
                ends sooner, or a pod that drops its calls would get all the next ones.
            tunnel: it is a handshake for a tunnel, and no plain request.
        """
        recent = self._recent if chosen else None
        return Hold(self.loads, (endpoint.address, endpoint.port), tunnel=tunnel, recent=recent)

    # The attempt is published before the others' are read: so two workers never both take the last place.
    def take(self, endpoint: Endpoint, *, chosen: bool, tunnel: bool, limit: int | None) -> Hold | None:
        """Count an attempt; None: the endpoint has as many calls, or plain requests, as it may have.

        Args:
            endpoint: as for `hold`.
            chosen: as for `hold`.
            tunnel: as for `hold`.
            limit: the most at once, in all workers; None: there is no limit.
        """
        hold = self.hold(endpoint, chosen=chosen, tunnel=tunnel)
        hold.__enter__()
        if limit is None or self.loads.everywhere((endpoint.address, endpoint.port), tunnel=tunnel) <= limit:
            return hold
        hold.drop()
        return None

    def adopt(self, endpoint: Endpoint) -> Hold:
        """Count a tunnel of another worker until the hold is left."""
        key = endpoint.address, endpoint.port
        self.loads.adopted(key)
        return Hold(self.loads, key, tunnel=True, is_open=True)

    def order(
        self, upstream_name: str, policy: str, endpoints: Sequence[Endpoint], *, slow: SlowStart | None = None
    ) -> list[Endpoint]:
        """All endpoints in the order in which to try them; the doubtful ones (`reachability`) come last.

        Args:
            upstream_name: the upstream; turns are counted for each upstream, also if several share endpoints.
            policy: "least-tunnels" (equals take turns), "round-robin" or "random".
            endpoints: in any order, since name servers shuffle their answers.
            slow: which of them are new, for "least-tunnels".

        Raises:
            ValueError: there is no such policy.
        """
        if len(endpoints) < 2:
            return list(endpoints)
        match policy:
            case "least-tunnels":
                rotated = self._rotated(upstream_name, endpoints)
                weigh = None if slow is None else partial(self._slowed, slow)
                order = self.loads.by_load(rotated, self._recent.counts(), weigh)
            case "round-robin":
                order = self._rotated(upstream_name, endpoints)
            case "random":
                order = self._random.sample(endpoints, len(endpoints))
            case _:
                raise ValueError(f"no balance policy {policy!r}")
        return self.reachability.order(order)

    def _slowed(self, slow: SlowStart, endpoints: Sequence[Endpoint], loads: Sequence[int]) -> Sequence[float]:
        now, since = self._monotonic(), slow.since
        return slowed(loads, [now - since.get(_address(endpoint), -math.inf) for endpoint in endpoints], slow.window)

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
    """One tunnel or attempt at an address."""

    __slots__ = ("_began", "_is_open", "_key", "_loads", "_recent", "_tunnel")

    def __init__(
        self, loads: Loads, key: Key, *, tunnel: bool, recent: RecentCalls | None = None, is_open: bool = False
    ) -> None:
        self._loads = loads
        self._key = key
        self._tunnel = tunnel
        self._recent = recent
        self._is_open = is_open  # whether the handshake has led to a tunnel
        self._began = 0.0

    def __enter__(self) -> None:
        if self._recent is not None:
            self._began = self._recent.clock()
        self._loads.begin(self._key, tunnel=self._tunnel)

    def __exit__(self, *_: object) -> None:
        if self._recent is not None:
            self._recent.add(self._key, self._began)
        self.drop()

    def opened(self) -> None:
        """The handshake has led to a tunnel, which outlives this worker."""
        self._loads.opened(self._key)
        self._is_open = True

    def drop(self) -> None:
        """End it as if it had not been: there was no connection, so there was no call."""
        if self._is_open:
            self._loads.over(self._key)
        else:
            self._loads.end(self._key, tunnel=self._tunnel)


def _address(endpoint: Endpoint) -> Key:
    return endpoint.address, endpoint.port


# Steps of the golden ratio come to every part of a circle soon; without a common divisor they come to every place.
@lru_cache(maxsize=256)
def _step(count: int) -> int:
    if count <= FEW:
        return 1
    return next(step for step in range(round(count * _GOLDEN_RATIO), 0, -1) if gcd(step, count) == 1)
