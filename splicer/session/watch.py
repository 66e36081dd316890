"""Noticing clients that leave while a pod works on their request.

One task checks all of them regularly: a task for each would cost more in every handshake than this costs in all.
"""

from __future__ import annotations

from collections.abc import Collection

import trio

from splicer.session.context import InFlight

_WATCH_INTERVAL = 0.25  # seconds between two checks
_SLICE = 64  # exchanges checked before other tasks run: each check is a system call, and frames wait meanwhile


class ClientWatch:
    """Gives up the exchanges whose client has left, so that the pod can stop working.

    A client that has only closed its half may still wait for its answer; it gets one that comes before the second check
    (nginx gives up such clients too).

    Args:
        waiting: the exchanges that wait for a pod.
    """

    def __init__(self, waiting: Collection[InFlight]) -> None:
        self._waiting = waiting
        self._some = trio.Event()  # somebody waits

    # A worker that has only calls is not woken for this.
    def look_soon(self) -> None:
        """Begin to check if somebody waits; called regularly."""
        if self._waiting:
            self._some.set()

    async def run(self) -> None:
        """Check as long as somebody waits, again and again until cancelled."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            suspected: set[InFlight] = set()
            while self._waiting:
                await trio.sleep(_WATCH_INTERVAL)
                suspected = await self._give_up(suspected)

    async def _give_up(self, suspected: set[InFlight]) -> set[InFlight]:
        """Give up those who were suspected and have left; return who seems to have left."""
        abandoned: set[InFlight] = set()
        exchanges = list(self._waiting)
        for start in range(0, len(exchanges), _SLICE):
            for exchange in exchanges[start : start + _SLICE]:
                if exchange in self._waiting and exchange.client_left():  # it may have ended since the last slice
                    abandoned.add(exchange)
                    if exchange in suspected:
                        exchange.give_up()
            await trio.lowlevel.checkpoint()
        return abandoned
