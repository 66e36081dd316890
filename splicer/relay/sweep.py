"""The sweep: a regular check of all tunnels for deadlines and for peers that have vanished."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import trio

from splicer.relay.liveness import PeerLiveness
from splicer.relay.mover_interface import ByteMover
from splicer.relay.tunnel import Tunnel

_SWEEP_INTERVAL = 1.0  # seconds at most between two sweeps, while there are tunnels
_MIN_SWEEP_INTERVAL = 0.01
_SLICE = 256  # tunnels checked before other tasks run: a millisecond, if each needs a system call


class Sweep:
    """Keeps the deadlines of all tunnels.

    Args:
        tunnels: the live tunnels.
        mover: ends them.
        liveness: distinguishes vanished peers from paused ones.
        settle: handles the mover's news after each slice.
    """

    def __init__(
        self,
        tunnels: Mapping[object, Tunnel],
        mover: ByteMover,
        liveness: PeerLiveness,
        settle: Callable[[], object],
    ) -> None:
        self._tunnels = tunnels
        self._mover = mover
        self._liveness = liveness
        self._settle = settle
        self._pause = trio.CancelScope()

    def begin(self) -> None:
        """A tunnel has come where there was none."""
        self.expect(trio.current_time() + _SWEEP_INTERVAL)

    def expect(self, due: float) -> None:
        """Sweep no later than `due`, in seconds on Trio's clock: a deadline may be over then."""
        if due < self._pause.deadline:  # setting it takes 2 us, whatever the value
            self._pause.deadline = due

    # The next pause is created before the sweep begins, so that a tunnel that comes meanwhile can shorten it.
    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            now = trio.current_time()
            self._pause = trio.CancelScope(deadline=now + _SWEEP_INTERVAL if self._tunnels else math.inf)
            await self._look_at_all(self._liveness if self._liveness.is_due(now) else None)
            self._pause.deadline = max(self._pause.deadline, trio.current_time() + _MIN_SWEEP_INTERVAL)
            with self._pause:
                await trio.sleep_forever()

    # In slices, because frames wait meanwhile; a tunnel may have ended before its slice comes.
    async def _look_at_all(self, liveness: PeerLiveness | None) -> None:
        tunnels = list(self._tunnels.values())
        for start in range(0, len(tunnels), _SLICE):
            now = trio.current_time()
            for tunnel in tunnels[start : start + _SLICE]:
                if tunnel not in self._tunnels:
                    continue
                if end := tunnel.overdue(now):
                    self._mover.end(tunnel, end)
                    continue
                if liveness is not None and (gone := liveness.look(tunnel)):
                    self._mover.lose(gone, now)
                self.expect(tunnel.due())
            self._settle()
            await trio.lowlevel.checkpoint()
