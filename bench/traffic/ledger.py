"""The times at which frames were sent and their echoes arrived, and the figures that follow from them."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from itertools import pairwise

from bench.traffic.outcome import Outcome

_NS = 1e-9


# Frame k belongs to tunnel k % tunnels. During the run, a frame costs one entry in each array; all else is computed
# afterwards.
class Ledger:
    """Nanoseconds of the real-time clock for each frame; 0 means never.

    Args:
        periods: the number of frames of each tunnel.
        tunnels: the number of tunnels.
    """

    def __init__(self, periods: int, tunnels: int) -> None:
        self.sent = array("q", bytes(8 * periods * tunnels))
        self.came = array("q", bytes(8 * periods * tunnels))
        self._tunnels = tunnels

    def settled(self, living: Collection[int]) -> bool:
        """Whether the last echo of each of these tunnels has arrived."""
        first = len(self.came) - self._tunnels
        return all(self.came[first + tunnel] for tunnel in living)

    def tell(self, outcome: Outcome, living: Collection[int], period: float) -> None:
        """Fill in an outcome.

        Args:
            outcome: to fill in.
            living: the tunnels that were not lost.
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
        """The longest time without an echo, in seconds, from the first frame to the last echo.

        If the last echo of a live tunnel is missing, its silence lasts at least until the last frame.
        """
        came = self._of(self.came, tunnel)
        times = [self.sent[tunnel], *filter(None, came)]
        if alive and not came[-1]:
            times.append(self._of(self.sent, tunnel)[-1])
        return max((after - before for before, after in pairwise(times)), default=0) * _NS
