"""Live calls as telephones and pods make them: see `bench.traffic.paced` for how their frames are spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.scenarios.base import Result, Sample, Scenario, Turn, measured
from bench.site import Site
from bench.traffic import paced

CALLS = 200

_FEWER_AND_MORE = (30, 800)
_PACE = {"rate": 50, "bytes": 320}  # 20 ms of 8 kHz, 16 bit
SPEECH = {**_PACE, "tunnels": CALLS}
_PERCENTILES = ("p50", "p99")


class _Paced(Scenario):
    """The proxy's CPU time for a frame, and a frame's latency by the kernel's time stamps.

    If the load had no CPU left, its frames were late and came in bunches: no figure is then the proxy's alone.
    """

    mode: str

    def missing(self) -> str | None:
        """Why the load can't be run here."""
        return paced.unavailable()

    def direct(self, site: Site, seconds: float) -> Iterator[Sample]:
        """Measure callers and pods without a proxy: no proxy can do better."""
        options = {**_PACE, "tunnels": CALLS, "seconds": seconds}
        with site.client(self.mode, site.pod, options, direct=True) as client:
            client.wait_ready()
            client.go()
            yield from _latencies(client.result(), "", crowded=False)

    def sizes(self, site: Site) -> Mapping[int, str]:
        """The numbers of calls, each with the prefix of its figures' names."""
        return {CALLS: ""}

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure each number of calls."""
        for calls, prefix in self.sizes(turn.site).items():
            run = measured(turn, turn.proxy, self.mode, {**_PACE, "tunnels": calls})
            yield Sample(f"{prefix}cpu_us", "us", run.cpu / run.result["count"] * 1e6, run.crowded)
            yield from _latencies(run.result, prefix, crowded=run.crowded)


def _latencies(result: Result, prefix: str, *, crowded: bool) -> Iterator[Sample]:
    for percentile in _PERCENTILES:
        yield Sample(f"{prefix}{percentile}_us", "us", float(result["latency_us"][percentile]), crowded)


class Frames(_Paced):
    """Speech: callers with clocks of their own, and pods that speak in bursts."""

    name = "frames"
    about = f"{CALLS} calls of speech, then 30 and 800: CPU for a frame, one way, and its latency"
    mode = "voice"
    seconds = 3.0
    quick_seconds = 0.8

    def sizes(self, site: Site) -> Mapping[int, str]:
        """200 calls are the main figure; the other numbers are measured only in a full run."""
        more = {} if site.quick else {calls: f"{calls}_" for calls in _FEWER_AND_MORE}
        return {CALLS: "", **more}

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds of a load for each number of calls."""
        return (1 if quick else 1 + len(_FEWER_AND_MORE)) * super().lasts(seconds, quick)


class Burst(_Paced):
    """Frames that are sent in bursts, once a millisecond, as by a gateway that multiplexes calls."""

    name = "burst"
    about = f"{CALLS} calls whose frames leave once a millisecond: CPU for a frame, and its latency"
    mode = "burst"
    quick_seconds = 0.5
