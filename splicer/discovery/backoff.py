"""Pauses between attempts (client-go, tools/cache/reflector.go: 0.8 s, doubled up to 30 s, with jitter)."""

from __future__ import annotations

import math
import random

_FIRST, _LONGEST = 0.8, 30.0  # seconds
_RESET_AFTER = 120.0  # seconds without a failure


class Backoff:
    """Each pause is in [b, 2b), and b doubles.

    Args:
        rng: draws the pauses.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next = _FIRST
        self._last = -math.inf

    def pause(self, now: float) -> float:
        """The seconds to wait after a failure.

        Args:
            now: on any clock, in seconds.
        """
        if now - self._last > _RESET_AFTER:
            self._next = _FIRST
        base, self._next = self._next, min(2 * self._next, _LONGEST)
        pause = base * (1 + self._rng.random())
        self._last = now + pause
        return pause
