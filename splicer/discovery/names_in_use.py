"""The pods whose names came from URLs: no list has them, so those that were used lately are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

MOST = 1024
KEEP_SECONDS = 600.0  # after the last use


@frozen
class Used:
    """A name with an address that a worker has dialled for it.

    Args:
        upstream: the name of the upstream.
        host: its host, rendered.
        address: a numeric address.
        port: the TCP port.
    """

    upstream: str
    host: str
    address: str
    port: int


class NamesInUse:
    """Remembers names; if there are too many, the one that was not used for the longest time is forgotten.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._used: dict[Used, float] = {}  # when it was last used; the oldest first

    def add(self, used: Used) -> bool:
        """Remember a use; whether the name or its address is new."""
        new = self._used.pop(used, None) is None
        self._used[used] = self._clock()
        if len(self._used) > MOST:
            del self._used[next(iter(self._used))]
        return new

    def expire(self) -> bool:
        """Forget the names that are not in use any more; whether there was one."""
        oldest, before = self._clock() - KEEP_SECONDS, len(self._used)
        while self._used and self._used[first := next(iter(self._used))] <= oldest:
            del self._used[first]
        return len(self._used) < before

    def of(self, upstream: str) -> Iterator[Used]:
        """The names of an upstream."""
        return (used for used in self._used if used.upstream == upstream)
