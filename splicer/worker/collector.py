"""When the garbage collector runs.

No end of an exchange leaves a reference cycle (tests/session/test_garbage.py). So what is old holds no garbage, and to
look for some stops all frames in vain: for 18 µs times the open tunnels. But a cycle that somebody makes one day must
not grow the process without end.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from time import perf_counter

import trio

_INTERVAL = 1.0  # seconds
_SLACK = 50_000  # blocks of memory that are no reason to look: some 10 MiB
_OF_A_CONNECTION = 250  # blocks; a tunnel has 80, an idle connection 60, a request in the middle of its body 200
_YOUNG = 20_000  # objects, made and not freed since the last look at the young ones, which takes 4 ms
_NEVER = 1_000_000_000


def collect_young_only() -> None:
    """Exempt all that there is by now from collections, and leave the old among what comes to `collect_if_grown`."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _NEVER, _NEVER)


async def collect_if_grown(connections: Callable[[], int], told: Callable[[int, float], None]) -> None:
    """Run a full collection when the open connections don't explain the memory in use; until cancelled.

    So there is none without a leak, however many tunnels there are; with one, each has much to find. Where the memory
    is in use after all, the next one comes when that has doubled.

    Args:
        connections: how many are open.
        told: gets the number of objects that were found, and the seconds that it took.
    """
    loaded = sys.getallocatedblocks()
    tolerated = 0
    while True:
        await trio.sleep(_INTERVAL)
        used = sys.getallocatedblocks() - loaded
        explained = _SLACK + _OF_A_CONNECTION * connections()
        if used <= explained:
            tolerated = 0
        elif used > tolerated:
            began = perf_counter()
            found = gc.collect()
            told(found, perf_counter() - began)
            tolerated = 2 * (sys.getallocatedblocks() - loaded)
