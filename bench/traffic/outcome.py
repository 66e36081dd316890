"""The results of a load's run."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import ceil
from typing import Any

from attrs import asdict, define, field

from bench.traffic.echo import Mismatch


@define
class Outcome:
    """The results of one run.

    Args:
        seconds: the measured window.
        count: items done and verified; an echoed frame counts twice, there and back.
        errors: calls lost, refused or never answered.
        mismatches: calls whose bytes came back wrong.
        cpu: user and system time of the load in the window, seconds.
        why: the first error or mismatch, in one line.
        latencies: seconds, in any order; empty if this load measures none.
        sent: frames that a paced load sent.
        late: those of `sent` that left more than 1 ms after they were due.
        missing: frames of live tunnels that had not arrived, or not come back, when the load stopped waiting.
        stall_ms: the longest silence of a tunnel beyond its interval, milliseconds.
        priority: whether the load has priority on its processor.
        bytes: bytes moved, one way.
    """

    seconds: float = 0.0
    count: int = 0
    errors: int = 0
    mismatches: int = 0
    cpu: float = 0.0
    why: str = ""
    latencies: array[float] = field(factory=lambda: array("d"))
    sent: int | None = None
    late: int | None = None
    missing: int | None = None
    stall_ms: float | None = None
    priority: bool | None = None
    bytes: int | None = None

    def fail(self, why: object) -> None:
        """Count an error."""
        self.errors += 1
        self.why = self.why or str(why)

    def mismatch(self, why: object) -> None:
        """Count a mismatch."""
        self.mismatches += 1
        self.why = self.why or str(why)

    def lost(self, error: Exception) -> None:
        """Count the error or mismatch that ended a tunnel."""
        (self.mismatch if isinstance(error, Mismatch) else self.fail)(error)

    def as_json(self) -> dict[str, Any]:
        """The results as JSON values for the driver, without those that this load doesn't measure."""
        told = {name: value for name, value in asdict(self, recurse=False).items() if value is not None}
        if latencies := sorted(told.pop("latencies")):
            told["latency_us"] = percentiles(latencies)
        return told


def percentiles(ordered: list[float]) -> dict[str, float]:
    """Microseconds of p50, p99, p99.9 (nearest rank) and the maximum.

    Args:
        ordered: seconds, ascending; at least one.
    """
    ranks = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    told = {name: ordered[ceil(len(ordered) * rank) - 1] for name, rank in ranks.items()} | {"max": ordered[-1]}
    return {name: round(seconds * 1e6, 1) for name, seconds in told.items()}


def merged(outcomes: Iterable[Outcome]) -> Outcome:
    """Combine the outcomes of several processes that ran side by side."""
    total, *others = outcomes
    for one in others:
        total.seconds = max(total.seconds, one.seconds)
        total.why = total.why or one.why
        total.latencies.extend(one.latencies)
        for name in ("count", "errors", "mismatches", "cpu", "sent", "late", "missing", "bytes"):
            if (value := getattr(one, name)) is not None:
                setattr(total, name, getattr(total, name) + value)
        if total.stall_ms is not None and one.stall_ms is not None:
            total.stall_ms = max(total.stall_ms, one.stall_ms)
        if total.priority is not None:
            total.priority = total.priority and bool(one.priority)
    return total
