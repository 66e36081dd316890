"""A line now and then about a tunnel that lives long."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from splicer.model import Record
from splicer.relay.hub import Hub
from splicer.relay.tunnel import Tunnel

_MAX_LATENESS = 0.1  # of the interval: so late a line may be
_SHORTEST, _MAX_SECONDS = 0.05, 5.0  # seconds between two looks
_SLICE = 32  # tunnels that are looked at in one go: a line for each takes two milliseconds


class Progress:
    """Tells of every tunnel once an interval, counted from its beginning, also after it has changed its worker.

    Args:
        hub: has the tunnels.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tell: Callable[[Tunnel, Record], None] = lambda *_: None
        self._told: dict[Tunnel, int] = {}  # intervals that were over at the last look
        self._interval = math.inf
        self._changed = trio.Event()

    def every(self, interval: float, tell: Callable[[Tunnel, Record], None]) -> None:
        """Tell so often from now on.

        Args:
            interval: seconds; `math.inf` is never.
            tell: gets the tunnel and its record.
        """
        self._tell = tell
        if interval != self._interval:
            self._interval = interval
            self._told = {}
            self._changed.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            self._changed = trio.Event()
            pause = max(_SHORTEST, min(self._interval * _MAX_LATENESS, _MAX_SECONDS))
            with trio.move_on_after(math.inf if self._interval == math.inf else pause):
                await self._changed.wait()
                continue
            await self._look()

    # A tunnel that is seen for the first time has had its lines: here, or where it was before. The interval may change
    # in the middle.
    async def _look(self) -> None:
        before, told, interval = self._told, dict[Tunnel, int](), self._interval
        self._told = told
        live = self._hub.live
        for start in range(0, len(live), _SLICE):
            now = trio.current_time()
            for tunnel in live[start : start + _SLICE]:
                if tunnel.result is None and isinstance(tunnel.owner, Record):
                    over = int((now - tunnel.owner.started) / interval)
                    if over > before.get(tunnel, over):
                        self._tell(tunnel, tunnel.owner)
                    told[tunnel] = over
            await trio.lowlevel.checkpoint()
