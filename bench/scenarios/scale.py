"""The cost of a handshake with growing numbers of routes, pods and workers, and of a frame with more workers."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from bench.scenarios.base import Measured, Sample, Scenario, Turn, measured
from bench.scenarios.frames import SPEECH
from bench.scenarios.handshakes import CALLERS
from bench.site import FEW, MANY


@frozen
class _Point:
    """One size of the job, with the names of its figures, and whether it is part of a quick run."""

    names: tuple[str, ...]
    pods: int = FEW
    routes: int = 0
    workers: int = 1
    quick: bool = False

    @property
    def of_workers(self) -> list[str]:
        """The names of the figures that show what more workers give."""
        return [name for name in self.names if name.startswith("workers")]


_POINTS = (
    _Point(("routes_10",), routes=10, quick=True),
    _Point(("routes_100",), routes=100),
    _Point(("routes_1000",), routes=1000, quick=True),
    _Point((f"pods_{FEW}", "workers_1")),
    _Point((f"pods_{MANY}",), pods=MANY),
    _Point(("workers_2",), workers=2),
    _Point(("workers_4",), workers=4),
)


class Scale(Scenario):
    """The proxy's CPU microseconds for a handshake, and what more workers give; each point has a fresh proxy."""

    name = "scale"
    about = f"handshakes with 10 to 1,000 routes, {FEW} and {MANY} pods, 1 to 4 workers: CPU for each"
    seconds = 1.5
    quick_seconds = 0.3
    repeat = 1
    fresh = True

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure the curve; a quick run has only its ends."""
        for point in _points(turn.site.quick):
            processors = turn.site.processors
            if processors.shared(point.workers):
                turn.site.note(
                    f"scale: {point.workers} workers share a processor with the load "
                    f"({len(processors.allowed)} processors): their rate is less than theirs alone"
                )
            with turn.fresh(point.pods, point.routes, point.workers) as proxy:
                run = measured(turn, proxy, "handshakes", CALLERS, pods=point.pods, workers=point.workers)
                yield from _samples(point, run)
                for name in point.of_workers:
                    run = measured(turn, proxy, "voice", SPEECH, pods=point.pods, workers=point.workers)
                    yield Sample(f"{name}_frame_us", "us", run.cpu / run.result["count"] * 1e6, run.crowded)

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds of a start and a load for each point."""
        return len(_points(quick)) * super().lasts(seconds, quick)


def _points(quick: bool) -> list[_Point]:
    return [point for point in _POINTS if point.quick or not quick]


def _samples(point: _Point, run: Measured) -> Iterator[Sample]:
    for name in point.names:
        yield Sample(f"{name}_us", "us", 1e6 / run.per_cpu)
    for name in point.of_workers:
        yield Sample(f"{name}_rate", "1/s", run.rate, run.load_bound)
        yield Sample(f"{name}_outside_us", "us", run.outside / run.result["count"] * 1e6)
