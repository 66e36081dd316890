"""One computation for all who ask at about the same time."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

_FRESH = 1.0  # seconds


class Shared:
    """Computes at most once a second: who asks meanwhile, or soon after, gets the same.

    Args:
        compute: what is shared; when it raises, whoever asks next has it computed anew.
    """

    def __init__(self, compute: Callable[[], Awaitable[bytes]]) -> None:
        self._compute = compute
        self._lock = trio.Lock()
        self._latest = b""
        self._computed = -math.inf

    async def __call__(self) -> bytes:
        """The latest result, or a new one."""
        async with self._lock:
            if trio.current_time() >= self._computed + _FRESH:
                self._latest = await self._compute()
                self._computed = trio.current_time()
            return self._latest
