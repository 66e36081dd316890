"""Which live tunnels somebody wants to see: those of a route or a pod, and the first ones in an order.

Only these become rows: a row costs more than looking at twenty tunnels.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from heapq import nlargest
from itertools import chain
from typing import Any

import trio

from splicer.ipc.queries import AskTunnels
from splicer.observe.between_frames import between_frames
from splicer.observe.line_quality import line_qualities
from splicer.quality import Quality
from splicer.record import Record
from splicer.relay.api import LiveTunnels, TunnelView

_SLICE = 256  # tunnels that are looked at before other tasks run …
_READ_SLICE = 32  # … if the kernel must be asked for the quality of their lines
_FEW, _READ_FEW = 32, 4  # the same before frames are moved
_READ = frozenset({"rtt", "retransmits"})
_FRESH_SECONDS = 1.0  # rates are not computed again before
_STALE_SECONDS = 10.0  # nobody has looked for longer: the next rates need two looks again


class TunnelRates:
    """The bytes a second of live tunnels, both ways, between the last two looks; without looks it keeps nothing new.

    Args:
        relay: has the tunnels.
    """

    def __init__(self, relay: LiveTunnels[Record]) -> None:
        self._relay = relay
        self._at = -_STALE_SECONDS
        self._moved: dict[str, int] = {}  # by tunnel, at the last look
        self._rates: dict[str, float] = {}

    def look(self) -> Iterator[list[Any]]:
        """Compute the rates, unless they are fresh; [] lets other tasks run."""
        now = trio.current_time()
        since = now - self._at
        if since < _FRESH_SECONDS:
            return
        before = self._moved if since <= _STALE_SECONDS else {}
        self._at, self._moved, self._rates = now, {}, {}
        live = self._relay.views()
        for start in range(0, len(live), _SLICE):
            for one in between_frames(self._relay, live[start : start + _SLICE], _FEW):
                name, moved = one.owner.id, one.to_pod + one.to_client
                self._moved[name] = moved
                if name in before:
                    self._rates[name] = max(0.0, (moved - before[name]) / since)
            yield []

    def of(self, one: TunnelView[Record]) -> float | None:
        """A tunnel's rate; None: it was not there at one of the last two looks."""
        rate = self._rates.get(one.owner.id)
        return None if rate is None else round(rate, 1)


def first_tunnels(
    relay: LiveTunnels[Record], wanted: AskTunnels, rates: TunnelRates
) -> Generator[list[Any], None, list[TunnelView[Record]]]:
    """The first `wanted.most` tunnels of those that are wanted, in their order; [] lets other tasks run.

    Args:
        relay: has the tunnels.
        wanted: which, and in which order; an unknown order is that of their ages.
        rates: of this relay's tunnels.
    """
    yield from rates.look()
    measure = _measure(wanted.sort, rates)
    found: list[tuple[float, int, TunnelView[Record]]] = []
    live = relay.views()
    step, few = (_READ_SLICE, _READ_FEW) if wanted.sort in _READ else (_SLICE, _FEW)
    for start in range(0, len(live), step):
        measured = (
            (measure(one), -number, one)  # the number: of equal ones the oldest comes first
            for number, one in enumerate(between_frames(relay, live[start : start + step], few), start)
            if _is_wanted(one.owner, wanted)
        )
        found = nlargest(wanted.most, chain(found, measured))
        yield []
    return [one for _, _, one in found]


def _is_wanted(record: Record, wanted: AskTunnels) -> bool:
    if wanted.route is not None and record.route != wanted.route:
        return False
    if wanted.pod is None:
        return True
    return record.endpoint is not None and wanted.pod in (record.endpoint.pod, record.endpoint.address)


def _measure(sort: str, rates: TunnelRates) -> Callable[[TunnelView[Record]], float]:
    now = trio.current_time()
    match sort:
        case "idle":
            return lambda one: one.idle(now)
        case "rate":
            return lambda one: rates.of(one) or 0.0
        case "rtt":
            return lambda one: _worst(one, lambda line: line.rtt)
        case "retransmits":
            return lambda one: _worst(one, lambda line: line.retransmits)
        case _:
            return lambda one: now - one.owner.started


def _worst(one: TunnelView[Record], of: Callable[[Quality], float]) -> float:
    return max((of(line) for line in line_qualities(one) if line is not None), default=0.0)
