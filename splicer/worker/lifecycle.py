"""The states of a worker, and the transitions between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """A worker's state."""

    IMPORTED = "imported"  # the code is loaded; there is no configuration
    PREPARED = "prepared"  # it has the configuration, but no slot
    SERVING = "serving"  # it accepts connections, and has the calls of a slot
    RETIRING = "retiring"  # another worker has its slot; exchanges and calls end, or are handed over
    ORPHANED = "orphaned"  # the supervisor is gone; exchanges and calls end here


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
    """A transition that a worker's state does not allow.

    Args:
        state: the current state, which stays.
        wanted: the state that was asked for.
    """

    def __init__(self, state: State, wanted: State) -> None:
        super().__init__(f"a worker that is {state} can't be {wanted} next")
        self.state = state
        self.wanted = wanted


# Invariant: a command that doesn't fit the state is refused before any part of it is done, because the worker may have
# calls.
class Lifecycle:
    """Keeps a worker's state."""

    def __init__(self) -> None:
        self.state = State.IMPORTED

    @property
    def has_served(self) -> bool:
        """Whether there may be connections and calls."""
        return self.state in (State.SERVING, State.RETIRING)

    def check(self, wanted: State) -> None:
        """Check a transition without making it.

        Raises:
            IllegalTransition: the state does not allow it.
        """
        if wanted not in _NEXT[self.state]:
            raise IllegalTransition(self.state, wanted)

    def enter(self, wanted: State) -> None:
        """Make a transition.

        Raises:
            IllegalTransition: the state does not allow it, and stays.
        """
        self.check(wanted)
        self.state = wanted
