"""The schedule of the garbage collector.

No end of an exchange leaves a reference cycle (tests/session/test_garbage.py). So old objects hold no garbage, and a
full collection would stop all frames for nothing: for 18 µs per open tunnel. But if a future change leaves cycles, the
process must not grow without bound.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from time import perf_counter

import trio

_INTERVAL = 1.0  # seconds
_SLACK = 50_000  # blocks of memory, some 10 MiB, that are no reason for a collection
_OF_A_CONNECTION = 250  # blocks; a tunnel has 80, an idle connection 60, a request in the middle of its body 200
_YOUNG = 20_000  # new objects after which the young generation is collected, which takes 4 ms
_NEVER = 1_000_000_000


def collect_young_only() -> None:
    """Exempt all existing objects from collection, and leave later old objects to `collect_if_grown`."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _NEVER, _NEVER)


async def collect_if_grown(connections: Callable[[], int], told: Callable[[int, float], None]) -> None:
    """Run a full collection when the open connections don't explain the memory in use; until cancelled.

    Without a leak there is no collection, whatever the number of tunnels; with a leak, each collection finds much. If
    the memory turns out to be in use, the next collection comes when that has doubled.

    Args:
        connections: returns the number of open connections.
        told: called with the number of objects found, and the duration in seconds.
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
