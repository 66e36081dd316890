"""Progress lines: at intervals, a log line about each long-lived tunnel."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from splicer.record import Record
from splicer.relay.api import LiveTunnels, TunnelView

_MAX_LATENESS = 0.1  # of the interval; a line may be that late
_MIN_CHECK_INTERVAL, _MAX_CHECK_INTERVAL = 0.05, 5.0  # seconds
_SLICE = 32  # tunnels checked before other tasks run: a line for each of them takes two milliseconds


class Progress:
    """Calls a function for every tunnel once per interval, counted from the tunnel's start, in whichever worker it is.

    Args:
        relay: has the tunnels.
    """

    def __init__(self, relay: LiveTunnels[Record]) -> None:
        self._relay = relay
        self._tell: Callable[[TunnelView[Record]], None] = lambda _: None
        self._told: dict[TunnelView[Record], int] = {}  # the number of intervals that were over at the last check
        self._interval = math.inf
        self._changed = trio.Event()

    def every(self, interval: float, tell: Callable[[TunnelView[Record]], None]) -> None:
        """Set the interval and the function to call.

        Args:
            interval: seconds; `math.inf` is never.
            tell: called with the tunnel.
        """
        self._tell = tell
        if interval != self._interval:
            self._interval = interval
            self._told = {}
            self._changed.set()

    async def run(self) -> None:
        """Check all tunnels again and again, until cancelled."""
        while True:
            self._changed = trio.Event()
            pause = max(_MIN_CHECK_INTERVAL, min(self._interval * _MAX_LATENESS, _MAX_CHECK_INTERVAL))
            with trio.move_on_after(math.inf if self._interval == math.inf else pause):
                await self._changed.wait()
                continue
            await self._look()

    # A tunnel that is checked for the first time has had the lines of its past intervals, here or in its last worker.
    # The interval may change during the loop.
    async def _look(self) -> None:
        before, told, interval = self._told, dict[TunnelView[Record], int](), self._interval
        self._told = told
        live = self._relay.views()
        for start in range(0, len(live), _SLICE):
            now = trio.current_time()
            for tunnel in live[start : start + _SLICE]:
                if tunnel.alive:
                    over = int((now - tunnel.owner.started) / interval)
                    if over > before.get(tunnel, over):
                        self._tell(tunnel)
                    told[tunnel] = over
            await trio.lowlevel.checkpoint()
