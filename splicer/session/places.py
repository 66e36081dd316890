"""The tunnels of each route, and the places for more of them where `max_tunnels` limits a route."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from splicer.model import Route


def _tell_nobody(_name: str, _count: int) -> None:
    """The default of `tell`: there is no other worker."""


def _nowhere(_name: str) -> int:
    """The default of `elsewhere`."""
    return 0


class TunnelPlaces:
    """Counts this worker's tunnels by route, with the handshakes that hold a place.

    All routes are counted: a reload may limit one that has tunnels already.

    Args:
        tell: called with a route's name and its new count.
        elsewhere: returns the count of a route in all other workers.
    """

    def __init__(
        self, tell: Callable[[str, int], None] = _tell_nobody, elsewhere: Callable[[str], int] = _nowhere
    ) -> None:
        self._tell = tell
        self._elsewhere = elsewhere
        self._open: dict[str, int] = {}
        self._asking: dict[str, int] = {}

    def limited(self, routes: Iterable[Route]) -> dict[str, int]:
        """The counts of the routes that have a limit."""
        return {route.name: self._count(route.name) for route in routes if route.max_tunnels is not None}

    # The place is published before the others are read: so two workers never both take the last one.
    def take(self, name: str, limit: int) -> bool:
        """Take a place for a handshake; False if the route has none left."""
        self._add(self._asking, name, 1)
        if self._count(name) + self._elsewhere(name) <= limit:
            return True
        self.give_back(name)
        return False

    def give_back(self, name: str) -> None:
        """Give back the place of a handshake, which has become a tunnel or has failed."""
        self._add(self._asking, name, -1)

    def opened(self, name: str) -> None:
        """Count a tunnel."""
        self._add(self._open, name, 1)

    def over(self, name: str) -> None:
        """Count a tunnel no longer."""
        if name in self._open:  # else it was left to another worker
            self._add(self._open, name, -1)

    def leave_all(self) -> None:
        """Count no tunnels any more: another worker has them."""
        for name in list(self._open):
            self._add(self._open, name, -self._open[name])

    def _add(self, counts: dict[str, int], name: str, more: int) -> None:
        count = counts.get(name, 0) + more
        if count:
            counts[name] = count
        else:
            del counts[name]
        self._tell(name, self._count(name))

    def _count(self, name: str) -> int:
        return self._open.get(name, 0) + self._asking.get(name, 0)
