"""The results of a run as values: scenarios make them, the report and the guard read them."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from attrs import field, frozen

# Whether more is better, for each figure that can be judged. Other figures are only shown.
MORE_IS_BETTER = {
    "frames.cpu_us": False,  # CPU microseconds of the proxy for a frame, one way; 200 calls
    "frames.p50_us": False,  # of frames, one way
    "frames.p99_us": False,
    "frames.30_cpu_us": False,
    "frames.30_p50_us": False,
    "frames.30_p99_us": False,
    "frames.800_cpu_us": False,
    "frames.800_p50_us": False,
    "frames.800_p99_us": False,
    "even.cpu_us": False,
    "even.added_p50_us": False,  # there and back
    "even.added_p99_us": False,
    "even.added_p999_us": False,
    "burst.cpu_us": False,
    "burst.p50_us": False,
    "burst.p99_us": False,
    "saturate.rate": True,  # frames a second, one way, at full CPU
    "saturate.per_cpu": True,  # … for each CPU second of the proxy
    "bulk.64k_mb": True,  # 10^6 bytes a second, one way
    "bulk.1m_mb": True,
    "bulk.64k_mb_per_cpu": True,
    "bulk.1m_mb_per_cpu": True,
    "handshakes.rate": True,
    "handshakes.per_cpu": True,
    "handshakes.paced_per_cpu": True,
    "storm.p99_us": False,  # of frames, there and back
    "storm.closed_p99_us": False,
    "idle.1000_kb": False,  # 1,024 bytes for each tunnel
    "idle.5000_kb": False,
    "tls.5000_kb": False,
    "tls.cpu_us": False,  # CPU microseconds of the proxy for a frame over TLS, one way
    "tls.rate": True,  # new calls, each with a full TLS handshake
    "tls.per_cpu": True,
    "start.ms": False,  # from its exec to its first answer
    "start.pss_mb": False,  # 10^6 bytes, with one worker and no call
    "http.rate": True,
    "http.per_cpu": True,
    "reload.lost": False,  # calls
    "reload.stall_ms": False,
    "kill.lost": False,
    "kill.stall_ms": False,
}


def _values(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(values)


@frozen
class Figure:
    """One quantity of one peer, with a value for each repetition.

    Args:
        scenario: its name: "frames".
        name: of the quantity: "cpu_us".
        peer: the peer's name.
        unit: "us", "1/s", "MB/s" …
        values: one for each repetition, in order.
        load_bound: the repetitions in which the load had no CPU left, so that the proxy could have done more.
    """

    scenario: str
    name: str
    peer: str
    unit: str
    values: tuple[float, ...] = field(converter=_values)
    load_bound: int = 0

    @property
    def key(self) -> str:
        """The name of the figure without the peer: "frames.cpu_us"."""
        return f"{self.scenario}.{self.name}"

    @property
    def median(self) -> float:
        """The value that reports quote."""
        return median(self.values)


@frozen
class Skipped:
    """Something that could not be measured, and why: a peer, its scenario, or every peer's (`peer` is "")."""

    peer: str
    reason: str
    scenario: str = ""


def _figures(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    return tuple(figures)


def _skipped(skipped: Iterable[Skipped]) -> tuple[Skipped, ...]:
    return tuple(skipped)


def _notes(notes: Iterable[str]) -> tuple[str, ...]:
    return tuple(notes)


@frozen
class Report:
    """A whole run.

    Args:
        machine: what it ran on, label to text: CPU, cores, kernel, Python …
        versions: peer to version.
        started: ISO 8601.
        seconds: how long the run took.
        settings: the options: seconds, repeat, quick …
        figures: in the order of the scenarios.
        skipped: missing figures, with the reasons.
        notes: warnings for the reader: the load was the bottleneck, a core was shared …
    """

    machine: dict[str, str]
    versions: dict[str, str]
    started: str
    seconds: float
    settings: dict[str, str]
    figures: tuple[Figure, ...] = field(converter=_figures)
    skipped: tuple[Skipped, ...] = field(converter=_skipped, default=())
    notes: tuple[str, ...] = field(converter=_notes, default=())

    def figure(self, key: str, peer: str) -> Figure | None:
        """The figure of one peer."""
        return next((one for one in self.figures if one.key == key and one.peer == peer), None)


# The ratio is above 1 if splicer is better, whether more or less of the figure is better.
def ratio(mine: float, other: float, more_is_better: bool) -> float:
    """How many times better the first figure is: 2.0 is twice the rate, or half the time."""
    better, worse = (mine, other) if more_is_better else (other, mine)
    return better / worse if worse else (1.0 if better == worse else float("inf"))
