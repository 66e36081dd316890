"""Tunnels that a full vault could not take. It may have room later, and is asked again."""

from __future__ import annotations

import math
from collections.abc import Callable, Container

import trio

_RETRY_INTERVAL = 1.0  # seconds in which a vault that has refused a tunnel is not asked again
_MAX_OFFERS = 16  # tunnels that it is asked for once more, at a time


class Refusals:
    """Knows what the vault has refused.

    Args:
        known: keys of the tunnels that may be offered again.
        offer: offers one again.
    """

    def __init__(self, known: Container[int], offer: Callable[[int], None]) -> None:
        self._known = known
        self._offer = offer
        self._keys: set[int] = set()
        self._full_until = -math.inf

    @property
    def is_empty(self) -> bool:
        """Whether the vault has taken all."""
        return not self._keys

    def is_full(self) -> bool:
        """Whether the vault has refused a tunnel a moment ago."""
        return trio.current_time() < self._full_until

    def add(self, key: int) -> None:
        """The vault has refused a tunnel."""
        self._full_until = trio.current_time() + _RETRY_INTERVAL
        self._keys.add(key)

    def discard(self, key: int) -> None:
        """A tunnel is over."""
        self._keys.discard(key)

    def clear(self) -> None:
        """The vault is gone: the next one has refused nothing."""
        self._keys.clear()
        self._full_until = -math.inf

    async def run(self) -> None:
        """Offer the refused tunnels again, some at a time, until cancelled."""
        while True:
            await trio.sleep(_RETRY_INTERVAL)
            for key in [key for key in self._keys if key in self._known][:_MAX_OFFERS]:
                self._keys.discard(key)
                self._offer(key)
