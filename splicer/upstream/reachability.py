"""What connects have told about endpoints: those that could not be reached lately are tried last.

They are found out again by probes (`upstream.probes`), which no caller waits for. If a call finds that an endpoint is
silent, so may be many others of the same name, for example those of a node that is dead: then a *survey* probes the
endpoints of which nothing is known, as long as no more are well than silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import trio
from attrs import frozen

from splicer.ipc.connect_board import ConnectEvent, Outcome
from splicer.model import Endpoint
from splicer.upstream.loads import hash_of

SECONDS = 10.0
"""So long an endpoint is doubtful before it is probed (nginx's `fail_timeout`), and so long one counts as well."""

_MOST = 4096  # endpoints that are doubtful, and that are well
_MOST_SECONDS = 600.0  # ... and then a failed connect is forgotten, if no call came for the endpoint
_MOST_SURVEYS = 16
FEW = 4
"""Endpoints, all of which a call dials within a second (`upstream.race`): they need no survey."""

_WELL, _UNKNOWN, _DOUBTFUL = range(3)


class Shared(Protocol):
    """The part of `ipc.connect_board.ConnectRow` that `Reachability` needs; a key is the `hash_of` an endpoint."""

    def tell(self, key: int, outcome: Outcome) -> None:
        """Publish what has become of a connect."""

    def news(self) -> Sequence[ConnectEvent]:
        """What other workers have published since the last call."""
        ...


class Alone:
    """There is no other worker."""

    def tell(self, key: int, outcome: Outcome) -> None:
        """See `Shared`."""

    def news(self) -> Sequence[ConnectEvent]:
        """See `Shared`."""
        return ()


@frozen
class _Doubt:
    """Since when an endpoint can't be reached, or when the last probe of it began; and whether it was silent."""

    at: float
    silent: bool


class Reachability:
    """The endpoints whose connect failed or got no answer, and has not succeeded since; and those that are well.

    Args:
        clock: returns seconds.
        shared: where the workers tell each other.
    """

    def __init__(self, clock: Callable[[], float], shared: Shared | None = None) -> None:
        self._clock = clock
        self._shared = Alone() if shared is None else shared
        self._doubts: dict[int, _Doubt] = {}  # the oldest first
        self._well: dict[int, float] = {}  # when they were connected to; the oldest first
        self._due: dict[int, Endpoint] = {}  # are to be probed again
        self._surveys: list[tuple[Endpoint, ...]] = []
        self._probed: set[int] = set()  # at present
        self._listeners: set[Callable[[int], None]] = set()
        self.wanted = trio.Event()
        """Set when there may be something to probe."""

    def __len__(self) -> int:
        return len(self._doubts)

    # ---- what has happened ----

    def failed(self, endpoint: Endpoint) -> None:
        """A connect was refused, or the endpoint can't be reached."""
        self._doubt(key_of(endpoint), Outcome.FAILED)

    def silent(self, endpoint: Endpoint) -> None:
        """A connect got no answer in time."""
        self._doubt(key_of(endpoint), Outcome.SILENT)

    def connected(self, endpoint: Endpoint) -> None:
        """A connect succeeded."""
        key, now = key_of(endpoint), self._clock()
        if self._doubts.pop(key, None) is not None:
            self._shared.tell(key, Outcome.CONNECTED)
        self._is_well(key, now)

    def _doubt(self, key: int, outcome: Outcome) -> None:
        self._is_doubtful(key, self._clock(), silent=outcome is Outcome.SILENT)
        self._shared.tell(key, outcome)

    def _is_doubtful(self, key: int, at: float, *, silent: bool) -> None:
        self._well.pop(key, None)
        if self._doubts.pop(key, None) is None and len(self._doubts) >= _MOST:
            del self._doubts[next(iter(self._doubts))]
        self._doubts[key] = _Doubt(at, silent)

    def _is_well(self, key: int, at: float) -> None:
        _expire(self._well, at - SECONDS)
        if self._well.pop(key, None) is None and len(self._well) >= _MOST:
            del self._well[next(iter(self._well))]
        self._well[key] = at
        for hear in tuple(self._listeners):
            hear(key)

    def _hear_others(self) -> None:
        now = self._clock()
        for key, outcome, age in self._shared.news():
            if outcome is Outcome.CONNECTED:
                self._doubts.pop(key, None)
                self._is_well(key, now - age)
            elif age < _MOST_SECONDS:
                self._is_doubtful(key, now - age, silent=outcome is Outcome.SILENT)
        while self._doubts and self._doubts[oldest := next(iter(self._doubts))].at <= now - _MOST_SECONDS:
            del self._doubts[oldest]

    # ---- what follows for calls ----

    def order(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """All of these endpoints, the doubtful ones behind the others: first of these comes what failed first.

        Those that have been doubtful for long enough will be probed.
        """
        self._hear_others()
        if not self._doubts:
            return list(endpoints)
        now, keys = self._clock(), list(map(key_of, endpoints))
        for key, endpoint in zip(keys, endpoints, strict=True):
            doubt = self._doubts.get(key)
            if doubt is not None and doubt.at <= now - SECONDS:
                self._is_doubtful(key, now, silent=doubt.silent)
                self._due[key] = endpoint
                self.wanted.set()
        unknown = _UNKNOWN if self._surveys and self._is_bad(keys, now) else _WELL
        ranks = [self._rank(key, now, unknown) for key in keys]
        return [endpoints[place] for place in sorted(range(len(keys)), key=ranks.__getitem__)]

    def best(self, endpoints: Sequence[Endpoint], live: Callable[[Endpoint], int]) -> Endpoint:
        """The endpoint that a call should dial next which has waited for others in vain.

        Args:
            endpoints: at least one; of those that are as good, the first.
            live: returns what an endpoint has to do: of those that are well the call gets one that has little.
        """
        self._hear_others()
        now = self._clock()

        def rank(endpoint: Endpoint) -> tuple[int, float]:
            key = key_of(endpoint)
            state, since = self._rank(key, now, _UNKNOWN)
            if state is _WELL:
                return state, live(endpoint)
            return state, key in self._probed if state is _UNKNOWN else since

        return min(endpoints, key=rank)

    @contextmanager
    def listening(self, hear: Callable[[int], None]) -> Iterator[None]:
        """Within the block `hear` is called with the key (`key_of`) of each endpoint that is found to be well."""
        self._listeners.add(hear)
        try:
            yield
        finally:
            self._listeners.discard(hear)

    def _rank(self, key: int, now: float, unknown: int) -> tuple[int, float]:
        doubt = self._doubts.get(key)
        if doubt is not None:
            return _DOUBTFUL, doubt.at
        return (_WELL if self._well.get(key, -SECONDS) > now - SECONDS else unknown), 0.0

    def _is_bad(self, keys: Sequence[int], now: float) -> bool:
        """Whether no more of these endpoints are well than are silent."""
        silent = sum(key in self._doubts and self._doubts[key].silent for key in keys)
        well = sum(self._well.get(key, -SECONDS) > now - SECONDS for key in keys)
        return 0 < silent >= well

    # ---- what is to be probed ----

    def survey(self, endpoints: Sequence[Endpoint]) -> None:
        """Find out which of these are well, since one of them is silent."""
        if len(endpoints) > FEW and len(self._surveys) < _MOST_SURVEYS:
            self._surveys.append(tuple(reversed(endpoints)))  # the call itself begins at the other end
            self.wanted.set()

    def next_probe(self) -> Endpoint | None:
        """The endpoint to probe next, until `probed`; None: there is nothing to do until `wanted` is set."""
        for key in list(self._due):
            endpoint = self._due.pop(key)
            if key in self._doubts and key not in self._probed:
                self._probed.add(key)
                return endpoint
        self._hear_others()
        while self._surveys:
            found = self._unknown(self._surveys[0])
            if found is not None:
                self._probed.add(key_of(found))
                return found
            del self._surveys[0]
        if self.wanted.is_set():
            self.wanted = trio.Event()
        return None

    def probed(self, endpoint: Endpoint) -> None:
        """A probe is over; what came of it has been told."""
        self._probed.discard(key_of(endpoint))

    def give_up_probes(self) -> None:
        """Forget what is to be probed."""
        self._due.clear()
        self._surveys.clear()

    def _unknown(self, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        now, keys = self._clock(), list(map(key_of, endpoints))
        if not self._is_bad(keys, now):
            return None
        for key, endpoint in zip(keys, endpoints, strict=True):
            if key not in self._probed and self._rank(key, now, _UNKNOWN)[0] is _UNKNOWN:
                return endpoint
        return None


def key_of(endpoint: Endpoint) -> int:
    """The number by which an endpoint is known, whatever name it goes by."""
    return hash_of((endpoint.address, endpoint.port))


def _expire(times: dict[int, float], until: float) -> None:
    while times and times[oldest := next(iter(times))] <= until:
        del times[oldest]
