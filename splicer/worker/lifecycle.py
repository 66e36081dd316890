"""What a worker is at the moment, and what it may become next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """A worker's state."""

    IMPORTED = "imported"  # the code is loaded; there is no configuration
    PREPARED = "prepared"  # it has the configuration, and no slot
    SERVING = "serving"  # it accepts, and has the calls of a slot
    RETIRING = "retiring"  # another worker has its slot; what is under way ends, or is handed over
    ORPHANED = "orphaned"  # the supervisor is gone; what is under way ends here


_NEXT: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.IMPORTED: frozenset({State.PREPARED, State.ORPHANED}),
        State.PREPARED: frozenset({State.SERVING, State.ORPHANED}),
        State.SERVING: frozenset({State.RETIRING, State.ORPHANED}),
        State.RETIRING: frozenset({State.ORPHANED}),
        State.ORPHANED: frozenset(),
    }
)


class IllegalTransition(Exception):
    """A worker can't become this now.

    Args:
        state: what it is, and stays.
        wanted: what it should have become.
    """

    def __init__(self, state: State, wanted: State) -> None:
        super().__init__(f"a worker that is {state} can't be {wanted} next")
        self.state = state
        self.wanted = wanted


# A worker may have calls, so what asks for too much is refused before anything is done: nothing is half begun.
class Lifecycle:
    """Keeps a worker's state."""

    def __init__(self) -> None:
        self.state = State.IMPORTED

    @property
    def has_served(self) -> bool:
        """Whether there may be connections and calls."""
        return self.state in (State.SERVING, State.RETIRING)

    def check(self, wanted: State) -> None:
        """Do nothing.

        Raises:
            IllegalTransition: a worker can't become this now.
        """
        if wanted not in _NEXT[self.state]:
            raise IllegalTransition(self.state, wanted)

    def enter(self, wanted: State) -> None:
        """Become this.

        Raises:
            IllegalTransition: a worker can't; it stays what it is.
        """
        self.check(wanted)
        self.state = wanted
