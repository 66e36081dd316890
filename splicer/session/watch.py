"""Whether clients are still there while a pod works for them.

One task looks at all of them now and then: a task for each would cost every handshake more than this costs in all.
"""

from __future__ import annotations

from collections.abc import Collection

import trio

from splicer.session.context import InFlight

_WATCH_INTERVAL = 0.25  # seconds
_SLICE = 64  # exchanges that are looked at in one go: each look is a system call, and frames wait meanwhile


async def watch_clients(waiting: Collection[InFlight]) -> None:
    """Give up the exchanges whose client has left, so that the pod can stop working; until cancelled.

    A client that closes its half may still be waiting for its answer (nginx gives it up too): it gets a quick one.
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
