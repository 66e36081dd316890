"""The numbers of a worker's client connections, which tell of each change."""

from __future__ import annotations

from collections.abc import Callable

from splicer.session.context import ConnectionState, StubStatus


class ClientCounts(StubStatus):
    """A `StubStatus` that tells.

    Args:
        told: called before a connection comes, goes, or changes its state.
    """

    __slots__ = ("_told",)

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__()
        self._told = told

    def enter(self, place: ConnectionState) -> ConnectionState:
        """See `StubStatus`."""
        self._told()
        return super().enter(place)

    def leave(self, place: ConnectionState) -> None:
        """See `StubStatus`."""
        self._told()
        super().leave(place)

    def move(self, source: ConnectionState, place: ConnectionState) -> ConnectionState:
        """See `StubStatus`."""
        self._told()
        return super().move(source, place)
