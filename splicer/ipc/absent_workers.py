"""Asking the supervisor again for channels to workers: one may get lost, for example because descriptors ran out."""

from __future__ import annotations

from collections.abc import Callable

import trio

from splicer.ipc.messages import Absent

_INTERVAL = 1.0  # seconds between two looks


async def ask_for_absent(absent: Callable[[], set[int]], tell: Callable[[Absent], None]) -> None:
    """Ask for what two looks in a row have missed, until cancelled: one look may come between a start and its channel.

    Args:
        absent: returns the slots that are served by a worker to which there is no channel.
        tell: sends the supervisor a report.
    """
    before: set[int] = set()
    while True:
        await trio.sleep(_INTERVAL)
        now = absent()
        if now and now == before:
            tell(Absent(tuple(sorted(now))))
        before = now
