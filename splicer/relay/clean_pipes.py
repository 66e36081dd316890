"""The clean pipes that a mover may use, and the spent ones that are to be closed.

Invariants: a clean pipe is empty; one that holds bytes is never reused but closed, or one call's audio would leak into
another. A mover neither makes nor closes a pipe, so it never needs the vault, and no descriptor is closed while events
of a batch are handled.
"""

from __future__ import annotations

from splicer.relay.pipes import SMALLEST, Pipe

FEW = 4  # with fewer clean pipes, more are made (`stock.py`)


class CleanPipes:
    """A pool of pipes that are registered with the vault.

    One of them is the reserve, used only if there is no other: after it was taken, the next clean pipe replaces it.

    Args:
        keep: the most clean pipes that are kept, so that many slow readers at once don't use up descriptors for ever.
    """

    def __init__(self, keep: int = 64) -> None:
        self.clean: list[Pipe] = []
        self.last: Pipe | None = None
        self.spent: list[Pipe] = []  # to be closed by the stock
        self._keep = keep

    @property
    def count(self) -> int:
        """The number of clean pipes, without the reserve."""
        return len(self.clean)

    @property
    def has_last(self) -> bool:
        """Whether there is a reserve pipe."""
        return self.last is not None

    def give(self, pipe: Pipe) -> None:
        """Add an empty pipe: a new one, or one that has been drained completely."""
        if pipe.write_fd < 0:
            self.spent.append(pipe)
        elif self.last is None:
            self.last = pipe
        elif len(self.clean) < (self._keep if pipe.size > SMALLEST else 1):
            self.clean.append(pipe)
        else:
            self.spent.append(pipe)

    def take(self, least: int = 0) -> Pipe | None:
        """Take a clean pipe of at least `least` bytes, if there is one."""
        return self.clean.pop() if self.clean and self.clean[-1].size >= least else None

    def take_last(self) -> Pipe | None:
        """Take the reserve pipe, if there is one."""
        pipe, self.last = self.last, None
        return pipe

    def take_spent(self) -> list[Pipe]:
        """Take the pipes that are to be closed."""
        spent, self.spent = self.spent, []
        return spent
