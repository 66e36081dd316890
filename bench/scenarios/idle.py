"""Silent calls: the memory of a tunnel."""

from __future__ import annotations

from collections.abc import Iterator

from bench.machine import resident, settled_cpu_seconds
from bench.scenarios.base import Sample, Scenario, Turn, checked

_TUNNELS = (1000, 5000)
_TIMEOUT = 3.0  # seconds for a proxy to become quiet


class Idle(Scenario):
    """The resident memory of all the proxy's processes for one tunnel.

    When memory is read, each tunnel has carried one frame there and back, as a call has: buffers that a proxy
    allocates with the first byte are part of the cost. The proxy is fresh for each number of tunnels, and has had
    a few calls before, so that memory which it allocates only once is not charged to the tunnels.
    """

    name = "idle"
    about = "1,000 and 5,000 silent tunnels: memory of each"
    repeat = 2
    fresh = True

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure each number of tunnels; 5,000 only in a full run."""
        for tunnels in _TUNNELS[: 1 if turn.site.quick else None]:
            with turn.fresh() as proxy, turn.client("idle", proxy, {"tunnels": tunnels}) as client:
                before = resident(proxy.pids())
                client.wait_ready()
                client.go()
                checked(turn, client.result())
                settled_cpu_seconds(proxy.pids(), _TIMEOUT)
                yield Sample(f"{tunnels}_kb", "KiB", (resident(proxy.pids()) - before) / tunnels / 1024)

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds; most of them are for opening the tunnels."""
        return 2.0 if quick else 9.0
