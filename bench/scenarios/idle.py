"""Silent calls: what memory a tunnel takes."""

from __future__ import annotations

from collections.abc import Iterator

from bench.machine import resident, settled_cpu_seconds
from bench.scenarios.base import Sample, Scenario, Turn, checked

_TUNNELS = (1000, 5000)
_TIMEOUT = 3.0  # seconds for a proxy to become quiet


class Idle(Scenario):
    """Resident memory of all the proxy's processes for one tunnel.

    Each tunnel has carried one frame there and back when memory is read: that is a call, and buffers which a proxy
    makes with the first byte are part of its price. The proxy is a fresh one for each number of tunnels, and has
    had a few calls before, so that what it loads once is not charged to them.
    """

    name = "idle"
    about = "1,000 and 5,000 silent tunnels: memory of each"
    repeat = 2
    fresh = True

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """5,000 only in a full run."""
        for tunnels in _TUNNELS[: 1 if turn.site.quick else None]:
            with turn.fresh() as proxy, turn.client("idle", proxy, {"tunnels": tunnels}) as client:
                before = resident(proxy.pids())
                client.wait_ready()
                client.go()
                checked(turn, client.result())
                settled_cpu_seconds(proxy.pids(), _TIMEOUT)
                yield Sample(f"{tunnels}_kb", "KiB", (resident(proxy.pids()) - before) / tunnels / 1024)

    def lasts(self, seconds: float, quick: bool) -> float:
        """Opening is what takes time."""
        return 2.0 if quick else 9.0
