"""The watch over clients, as a worker runs it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import trio

from splicer.session.watch import ClientWatch

_TICK_INTERVAL = 0.1  # seconds


async def watch_clients(waiting: Collection[Any]) -> None:
    """Watch until cancelled."""
    watch = ClientWatch(waiting)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        while True:
            watch.look_soon()
            await trio.sleep(_TICK_INTERVAL)
