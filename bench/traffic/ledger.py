"""When each frame was sent, and when its echo came: what a paced load writes down, and what follows from it."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from itertools import pairwise

from bench.traffic.outcome import Outcome

_NS = 1e-9


# Frame k belongs to tunnel k % tunnels. In the run, a frame costs one entry in either array; all else is reckoned
# afterwards.
class Ledger:
    """Nanoseconds of the real-time clock for each frame; 0: never.

    Args:
        periods: frames of each tunnel.
        tunnels: how many.
    """

    def __init__(self, periods: int, tunnels: int) -> None:
        self.sent = array("q", bytes(8 * periods * tunnels))
        self.came = array("q", bytes(8 * periods * tunnels))
        self._tunnels = tunnels

    def settled(self, living: Collection[int]) -> bool:
        """Whether the last frame of each of these tunnels is back."""
        first = len(self.came) - self._tunnels
        return all(self.came[first + tunnel] for tunnel in living)

    def tell(self, outcome: Outcome, living: Collection[int], period: float) -> None:
        """Fill in what came about.

        Args:
            outcome: to fill in.
            living: tunnels that were not lost.
            period: seconds between two frames of a tunnel.
        """
        pairs = [(sent, came) for sent, came in zip(self.sent, self.came, strict=True) if came]
        outcome.latencies = array("d", ((came - sent) * _NS for sent, came in pairs))
        outcome.count = 2 * len(pairs)
        outcome.missing = sum(
            1
            for tunnel in living
            for sent, came in zip(self._of(self.sent, tunnel), self._of(self.came, tunnel), strict=True)
            if sent and not came
        )
        silences = [self._silence(tunnel, tunnel in living) - period for tunnel in range(self._tunnels)]
        outcome.stall_ms = round(max(0.0, *silences) * 1e3, 3)

    def _of(self, times: array[int], tunnel: int) -> array[int]:
        return times[tunnel :: self._tunnels]

    def _silence(self, tunnel: int, alive: bool) -> float:
        """The longest time in seconds without an echo, from the first frame to the last echo.

        If the last one is owed by a tunnel that lives, its silence lasts until the last frame, at least.
        """
        came = self._of(self.came, tunnel)
        times = [self.sent[tunnel], *filter(None, came)]
        if alive and not came[-1]:
            times.append(self._of(self.sent, tunnel)[-1])
        return max((after - before for before, after in pairwise(times)), default=0) * _NS
