"""Turns at the work that clients make, so that no round of Trio's loop takes long.

Trio runs every task that can run before it looks for events again. Hundreds of requests that come at once are one such
round, and accepts, timers and health probes would wait for the last of them.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from time import perf_counter

import trio

_SHARE = 0.005  # seconds of a round in which work begins at once
_FEW, _MOST = 4, 16  # turns of each kind in one round, while tasks wait: at first, and later


class Work(Enum):
    """What a turn is wanted for; each kind has its own in every round."""

    PROBE = auto()  # an answer of our own, which takes little and must come soon
    REQUEST = auto()  # a new one
    LARGE = auto()  # a new one with a head as large as few have
    BODY = auto()  # some more of a request that was begun


class Turns:
    """Says whether a task may begin a piece of work now, and has it wait for its turn if not; first come, first served.

    Until its `run` runs, nobody waits.
    """

    def __init__(self) -> None:
        self._began: float | None = math.inf  # the first piece of this round; on the clock of `perf_counter`
        self._waiting = {work: trio.lowlevel.ParkingLot() for work in Work}
        self._asleep = trio.lowlevel.ParkingLot()

    # Rounds in which nobody works cost nothing: frames are worth more than an instrument's call for each of theirs.
    def busy(self, work: Work) -> bool:
        """Whether a task must `wait` before it begins."""
        if self._began is None:
            self._began = perf_counter()
            self._asleep.unpark()
        return bool(self._waiting[work]) or perf_counter() - self._began > _SHARE

    async def wait(self, work: Work) -> None:
        """Wait for a turn; only who has just been told that it is `busy` does."""
        await self._waiting[work].park()

    async def run(self) -> None:
        """Give turns until cancelled: fewer in a round, the longer the last one took."""
        turns = _FEW
        while True:
            self._began = None
            for waiting in self._waiting.values():
                waiting.unpark(count=turns)
            before = perf_counter()
            if any(self._waiting.values()):
                await trio.lowlevel.checkpoint()
                turns = max(1, turns // 2) if perf_counter() - before > _SHARE else min(_MOST, turns + 1)
            else:
                await self._asleep.park()
                turns = _FEW
