"""What came out of a storm: counted, so that a relay that loses bytes can be shown as well."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from statistics import median

from attrs import Factory, define, frozen

_SHOWN = 20  # faults that a person wants to read


class Kind(StrEnum):
    """What can go wrong with a tunnel."""

    LOST = "lost"  # it ended before its time
    WRONG = "wrong"  # bytes came that were not the next ones
    STUCK = "stuck"  # due bytes, or an end, did not come
    HANDSHAKE = "handshake"  # refused, half an answer, or none in time


@frozen
class Fault:
    """A tunnel or a handshake that did not go as it must.

    Args:
        kind: in one word.
        behaviour: what the tunnel did.
        detail: what happened where.
    """

    kind: Kind
    behaviour: str
    detail: str


@define(eq=False)
class Report:
    """Counts.

    Args:
        completed: tunnels that went to their planned end, by behaviour.
        to_pods: right bytes that pods received.
        to_clients: right bytes that clients received.
        missing: bytes that were found to be lost in tunnels that failed, at their first fault.
        dropped: handshakes that ended without a byte of an answer.
        answered: handshakes with another whole answer than 101, by status.
        longest_gaps: seconds, of each tunnel.
        longest_answer: seconds that a handshake took.
    """

    completed: Counter[str] = Factory(Counter)
    faults: list[Fault] = Factory(list)
    to_pods: int = 0
    to_clients: int = 0
    missing: int = 0
    dropped: int = 0
    answered: Counter[int] = Factory(Counter)
    longest_gaps: list[float] = Factory(list)
    longest_answer: float = 0.0

    @property
    def tunnels(self) -> int:
        """Those that completed."""
        return self.completed.total()

    @property
    def stalls(self) -> tuple[float, float, float]:
        """Of the tunnels' longest gaps: the median, the 99th percentile and the longest, in seconds."""
        gaps = sorted(self.longest_gaps) or [0.0]
        return median(gaps), gaps[int(len(gaps) * 0.99)], gaps[-1]

    def count(self, kind: Kind) -> int:
        """How many faults of a kind."""
        return sum(fault.kind is kind for fault in self.faults)

    def handshake(self, status: int | None, seconds: float) -> None:
        """Count an answer, or none, that took so long."""
        self.longest_answer = max(self.longest_answer, seconds)
        if status is None:
            self.dropped += 1
        elif status != 101:
            self.answered[status] += 1

    def check(self) -> None:
        """No fault."""
        assert not self.faults, self.text()

    def check_calm(self) -> None:
        """No fault, and each handshake got its 101."""
        self.check()
        assert not self.dropped, self.text()
        assert not self.answered, self.text()

    def text(self) -> str:
        """For a person."""
        middle, most, longest = (seconds * 1000 for seconds in self.stalls)
        kinds = Counter(fault.kind.value for fault in self.faults)
        lines = [
            f"{self.tunnels} tunnels completed: "
            + ", ".join(f"{n} {name}" for name, n in sorted(self.completed.items())),
            f"{self.to_pods / 1e6:.1f} MB to pods, {self.to_clients / 1e6:.1f} MB to clients",
            f"longest gap: median {middle:.0f} ms, p99 {most:.0f} ms, longest {longest:.0f} ms",
            f"handshakes: {self.dropped} dropped, other answers {dict(self.answered)}, "
            f"slowest {self.longest_answer * 1000:.0f} ms",
            f"faults: {dict(kinds) or 'none'}, {self.missing} bytes missing",
            *(f"  {fault.kind}: [{fault.behaviour}] {fault.detail}" for fault in self.faults[:_SHOWN]),
        ]
        return "\n".join(lines)
