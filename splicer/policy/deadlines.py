"""The time budget of attempts: each stage has its own deadline, all together have `deadlines.attempts`."""

from __future__ import annotations

from attrs import define

from splicer.model import Deadlines


@define
class AttemptBudget:
    """The time for all attempts of one request together.

    Args:
        deadlines: the route's, in seconds.
        ends: the end of the budget, on the caller's clock.
    """

    deadlines: Deadlines
    ends: float

    @classmethod
    def start(cls, deadlines: Deadlines, now: float) -> AttemptBudget:
        """A budget that starts to run at `now`."""
        return cls(deadlines, now + deadlines.attempts)

    def until(self, seconds: float, now: float) -> float:
        """The deadline of a stage that may take `seconds`."""
        return min(now + seconds, self.ends)

    def is_spent(self, now: float) -> bool:
        """Whether no time is left."""
        return now >= self.ends

    # The time in which a client sends its body is not the pods' fault: it counts only towards `response`.
    def pause(self, seconds: float) -> None:
        """Extend the budget by `seconds` that don't count."""
        self.ends += seconds
