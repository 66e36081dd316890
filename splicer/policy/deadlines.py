"""How much time an attempt has: its own deadlines, all under `deadlines.attempts`."""

from __future__ import annotations

from attrs import define

from splicer.model import Deadlines


@define
class AttemptBudget:
    """The time for all attempts of one request together.

    Args:
        deadlines: the route's, in seconds.
        ends: when the budget is spent, on the caller's clock.
    """

    deadlines: Deadlines
    ends: float

    @classmethod
    def start(cls, deadlines: Deadlines, now: float) -> AttemptBudget:
        """A budget that starts to run at `now`."""
        return cls(deadlines, now + deadlines.attempts)

    def until(self, seconds: float, now: float) -> float:
        """When a stage that may take `seconds` must be over."""
        return min(now + seconds, self.ends)

    def is_spent(self, now: float) -> bool:
        """Whether no time is left for anything."""
        return now >= self.ends

    # How long a client takes to send its body is not the pods' fault: it counts towards `response` alone.
    def pause(self, seconds: float) -> None:
        """Leave `seconds` out of the budget."""
        self.ends += seconds
