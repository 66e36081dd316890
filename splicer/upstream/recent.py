"""What happened lately: calls that were opened and are over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

SECONDS = 10.0
"""So long a call counts that is over."""

Key = tuple[str, int]  # address and port, whatever name the endpoint goes by


class RecentCalls:
    """The calls that are over, of those that were opened in the last seconds.

    They are counted by the second in which they were opened, so memory grows with endpoints, not with calls.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._by_second: dict[int, dict[Key, int]] = {}
        self._sums: dict[Key, int] = {}
        self._expires = math.inf  # the first of the seconds

    def add(self, key: Key, opened: float) -> None:
        """Count a call that is over now, if it was opened so lately."""
        now = self.clock()
        self._expire(now)
        if now - opened >= SECONDS:
            return
        second = int(opened)
        calls = self._by_second.setdefault(second, {})
        calls[key] = calls.get(key, 0) + 1
        self._sums[key] = self._sums.get(key, 0) + 1
        self._expires = min(self._expires, second + 1 + SECONDS)

    def counts(self) -> Mapping[Key, int]:
        """The number of them at each endpoint; the others have none."""
        if self._sums:
            self._expire(self.clock())
        return self._sums

    def _expire(self, now: float) -> None:
        if now < self._expires:
            return
        for second in [second for second in self._by_second if second + 1 + SECONDS <= now]:
            for key, count in self._by_second.pop(second).items():
                left = self._sums[key] - count
                if left:
                    self._sums[key] = left
                else:
                    del self._sums[key]
        self._expires = min(self._by_second, default=math.inf) + 1 + SECONDS
