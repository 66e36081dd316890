"""Turns for work that clients cause, so that no round of Trio's loop takes long.

Trio runs every runnable task before it polls for events again. Hundreds of requests that come at once are one such
round, and accepts, timers and health probes would wait for the last of them.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from time import perf_counter

import trio

_ROUND_SECONDS = 0.005  # seconds of a round in which work begins at once
_FEW, _MOST = 4, 16  # turns of each kind per round while tasks wait: the initial number, and the maximum


class Work(Enum):
    """The kinds of work; each has turns of its own in every round."""

    PROBE = auto()  # an answer without a pod, which takes little time and must come soon
    REQUEST = auto()  # a new request
    LARGE = auto()  # a new request with an unusually large head
    BODY = auto()  # the next part of a request's body


class Turns:
    """Decides whether a task may begin its work now or must wait for its turn; first come, first served.

    Before `run` is started, no task has to wait.
    """

    def __init__(self) -> None:
        self._began: float | None = math.inf  # when the first work of this round began, on `perf_counter`'s clock
        self._waiting = {work: trio.lowlevel.ParkingLot() for work in Work}
        self._asleep = trio.lowlevel.ParkingLot()

    # Rounds without such work cost nothing: an instrument that is called in every round would slow frames down.
    def busy(self, work: Work) -> bool:
        """Whether a task must `wait` before it begins."""
        if self._began is None:
            self._began = perf_counter()
            self._asleep.unpark()
        return bool(self._waiting[work]) or perf_counter() - self._began > _ROUND_SECONDS

    async def wait(self, work: Work) -> None:
        """Wait for a turn; call it only right after `busy` has returned True."""
        await self._waiting[work].park()

    async def run(self) -> None:
        """Give turns until cancelled; the longer the last round took, the fewer turns the next one has."""
        turns = _FEW
        while True:
            self._began = None
            for waiting in self._waiting.values():
                if waiting:
                    waiting.unpark(count=turns)
            before = perf_counter()
            if any(self._waiting.values()):
                await trio.lowlevel.checkpoint()
                turns = max(1, turns // 2) if perf_counter() - before > _ROUND_SECONDS else min(_MOST, turns + 1)
            else:
                await self._asleep.park()
                turns = _FEW
