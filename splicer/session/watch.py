"""Noticing clients that leave while a pod works on their request.

One task checks all of them regularly: a task for each would cost more in every handshake than this costs in all.
"""

from __future__ import annotations

from collections.abc import Collection

import trio

from splicer.session.context import InFlight

_WATCH_INTERVAL = 0.25  # seconds between two checks
_SLICE = 64  # exchanges checked before other tasks run: each check is a system call, and frames wait meanwhile


async def watch_clients(waiting: Collection[InFlight]) -> None:
    """Give up the exchanges whose client has left, so that the pod can stop working; until cancelled.

    A client that has only closed its half may still wait for its answer; it gets one that comes before the second check
    (nginx gives up such clients too).
    """
    suspected: set[InFlight] = set()
    while True:
        await trio.sleep(_WATCH_INTERVAL)
        abandoned: set[InFlight] = set()
        exchanges = list(waiting)
        for start in range(0, len(exchanges), _SLICE):
            for exchange in exchanges[start : start + _SLICE]:
                if exchange in waiting and exchange.client_left():  # it may have ended since the last slice
                    abandoned.add(exchange)
                    if exchange in suspected:
                        exchange.give_up()
            await trio.lowlevel.checkpoint()
        suspected = abandoned
