"""The number of tunnels of each route with `max_tunnels`, in shared memory for all workers.

Each process has one row, as on the board, and only its owner writes it. In a row, a route is found by a hash of its
name: while a reload is under way two workers may have different files, so its place in the file means nothing.
"""

from __future__ import annotations

import mmap
from _blake2 import blake2b  # hashlib would load OpenSSL, 0.8 MB, and the supervisor has no other use for it
from collections.abc import Mapping

from splicer.vault.memory import sealed_memory

MOST_ROUTES = 128  # that one row has room for
_ROW_WORDS = 2 * MOST_ROUTES  # hashes of names, then the counts


def _key(name: str) -> int:
    """The hash of a name; 0 stands for an unused place."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True) or 1


class RouteBoard:
    """The rows of all processes, mapped into memory.

    Args:
        rows: how many there are.
        fd: the descriptor of an existing one, which is owned from now on; None makes a new one.
    """

    def __init__(self, rows: int, fd: int | None = None) -> None:
        size = 8 * rows * (1 + _ROW_WORDS)
        self.fd = sealed_memory("splicer-routes", size) if fd is None else fd
        words = memoryview(mmap.mmap(self.fd, size)).cast("q")
        self._used, self._words = words[:rows], words[rows:]  # how many places of each row may be in use; all rows

    def row(self, number: int) -> RouteRow:
        """A row, to write it."""
        return RouteRow(self._used[number : number + 1], self._row(number))

    def others(self, number: int, name: str) -> int:
        """The number of tunnels that a route has in all rows but one."""
        key, total = _key(name), 0
        for other, used in enumerate(self._used):
            if used and other != number:
                row = self._row(other)
                keys = row[:used].tolist()
                if key in keys:
                    total += row[MOST_ROUTES + keys.index(key)]
        return total

    def clear(self, number: int) -> None:
        """Clear the row of a dead process."""
        self.row(number).publish({})

    def _row(self, number: int) -> memoryview[int]:
        return self._words[number * _ROW_WORDS : (number + 1) * _ROW_WORDS]


class RouteRow:
    """One process's counts.

    Args:
        used: the word with the number of places that may be in use.
        words: the row.
    """

    def __init__(self, used: memoryview[int], words: memoryview[int]) -> None:
        self._used = used
        self._words = words
        self._places: dict[str, int] = {}

    # A route that stays keeps its place: a reader never finds it missing.
    def publish(self, counts: Mapping[str, int]) -> None:
        """Publish the counts of these routes, and of no others; at most `MOST_ROUTES`."""
        kept = {name: place for name, place in self._places.items() if name in counts}
        free = [place for place in range(MOST_ROUTES) if place not in set(kept.values())]
        self._places = kept | dict(zip([name for name in counts if name not in kept], free, strict=False))
        for name, place in self._places.items():
            self._words[MOST_ROUTES + place] = counts[name]
            self._words[place] = _key(name)
        for place in set(range(self._used[0])) - set(self._places.values()):
            self._words[place] = self._words[MOST_ROUTES + place] = 0
        self._used[0] = max(self._places.values(), default=-1) + 1

    def tell(self, name: str, count: int) -> None:
        """Publish a new count; nothing happens if the route is not published."""
        place = self._places.get(name)
        if place is not None:
            self._words[MOST_ROUTES + place] = count
