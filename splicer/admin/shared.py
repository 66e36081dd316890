"""One computation for all requests that come at about the same time."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

_MAX_AGE_SECONDS = 1.0  # seconds for which a result is reused


class Shared:
    """Computes at most once a second; other callers meanwhile, or soon after, get the same result.

    Args:
        compute: the computation; if it raises, the next caller starts it again.
    """

    def __init__(self, compute: Callable[[], Awaitable[bytes]]) -> None:
        self._compute = compute
        self._lock = trio.Lock()
        self._latest = b""
        self._computed = -math.inf

    async def __call__(self) -> bytes:
        """The latest result, or a new one."""
        async with self._lock:
            if trio.current_time() >= self._computed + _MAX_AGE_SECONDS:
                self._latest = await self._compute()
                self._computed = trio.current_time()
            return self._latest
