"""The pipes that a mover may use, and those that it has no more use for.

Invariants: a pipe among the clean ones is empty; a dirty one is closed instead, for it would leak one call's audio into
another's. A mover neither makes nor closes a pipe, so it never needs the vault, and no descriptor is closed while
an event may be under way.
"""

from __future__ import annotations

from splicer.relay.pipes import SMALLEST, Pipe


class CleanPipes:
    """Pipes that the vault knows.

    One is put by for when there is no other: the next that comes after it was lent is put by in its place.

    Args:
        keep: how many clean ones at most; a storm of slow readers must not hold descriptors for ever.
    """

    def __init__(self, keep: int = 64) -> None:
        self.clean: list[Pipe] = []
        self.last: Pipe | None = None
        self.spent: list[Pipe] = []  # to be closed by whoever made them
        self._keep = keep

    @property
    def count(self) -> int:
        """How many clean ones wait, without the one that is put by."""
        return len(self.clean)

    @property
    def has_last(self) -> bool:
        """Whether one is put by."""
        return self.last is not None

    def give(self, pipe: Pipe) -> None:
        """Take in a pipe that is empty: a new one, or one that has been drained to the last byte."""
        if pipe.write_fd < 0:
            self.spent.append(pipe)
        elif self.last is None:
            self.last = pipe
        elif len(self.clean) < (self._keep if pipe.size > SMALLEST else 1):
            self.clean.append(pipe)
        else:
            self.spent.append(pipe)

    def take(self, least: int = 0) -> Pipe | None:
        """A clean pipe, if there is one into which so many bytes fit."""
        return self.clean.pop() if self.clean and self.clean[-1].size >= least else None

    def take_last(self) -> Pipe | None:
        """The pipe that was put by, if it is there."""
        pipe, self.last = self.last, None
        return pipe

    def take_spent(self) -> list[Pipe]:
        """What is to be closed."""
        spent, self.spent = self.spent, []
        return spent
