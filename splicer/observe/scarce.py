"""Lines that strangers can cause: only so many are written in a while, and the next one says how many were not."""

from __future__ import annotations

import math

import trio

_MOST = 20  # lines
_WINDOW = 10.0  # seconds


class Scarce:
    """Decides which lines are written."""

    def __init__(self) -> None:
        self._since = -math.inf
        self._written = self._left_out = 0

    def take(self) -> int | None:
        """The number of lines that were left out before this one, or None: this one is left out too."""
        now = trio.current_time()
        if now - self._since >= _WINDOW:
            self._since, self._written = now, 0
        if self._written >= _MOST:
            self._left_out += 1
            return None
        self._written += 1
        before, self._left_out = self._left_out, 0
        return before
