"""The result of a storm, as counts, so that it can also show a relay that loses bytes."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from statistics import median

from attrs import Factory, define, frozen

_SHOWN = 20  # faults in the printed result


class Kind(StrEnum):
    """The kinds of faults of a tunnel."""

    LOST = "lost"  # it ended before its time
    WRONG = "wrong"  # the received bytes were not the expected ones
    STUCK = "stuck"  # due bytes, or a due end, did not arrive
    HANDSHAKE = "handshake"  # refused, half an answer, or none in time


@frozen
class Fault:
    """A tunnel or a handshake that went wrong.

    Args:
        kind: of the fault.
        behaviour: of the tunnel.
        detail: where and how it happened.
    """

    kind: Kind
    behaviour: str
    detail: str


@define(eq=False)
class Report:
    """The counts of a storm.

    Args:
        completed: tunnels that reached their planned end, by behaviour.
        to_pods: correct bytes that pods received.
        to_clients: correct bytes that clients received.
        missing: bytes that were lost in failed tunnels, at their first fault.
        dropped: handshakes that ended without a byte of an answer.
        answered: handshakes with a complete answer other than 101, by status.
        longest_gaps: the longest gap of each tunnel, seconds.
        longest_answer: the longest handshake, seconds.
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
        """The number of completed tunnels."""
        return self.completed.total()

    @property
    def stalls(self) -> tuple[float, float, float]:
        """The median, the 99th percentile and the maximum of the tunnels' longest gaps, in seconds."""
        gaps = sorted(self.longest_gaps) or [0.0]
        return median(gaps), gaps[int(len(gaps) * 0.99)], gaps[-1]

    def count(self, kind: Kind) -> int:
        """The number of faults of a kind."""
        return sum(fault.kind is kind for fault in self.faults)

    def handshake(self, status: int | None, seconds: float) -> None:
        """Count a handshake's answer, or its lack, with its time."""
        self.longest_answer = max(self.longest_answer, seconds)
        if status is None:
            self.dropped += 1
        elif status != 101:
            self.answered[status] += 1

    def check(self) -> None:
        """Fail if there is a fault."""
        assert not self.faults, self.text()

    def check_calm(self) -> None:
        """Fail if there is a fault, or a handshake without its 101."""
        self.check()
        assert not self.dropped, self.text()
        assert not self.answered, self.text()

    def text(self) -> str:
        """The result as text."""
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
