"""Tunnels that a full vault has refused. They are offered again, because it may have room later."""

from __future__ import annotations

import math
from collections.abc import Callable, Container

import trio

_RETRY_INTERVAL = 1.0  # seconds after a refusal before the vault is asked again
_MAX_OFFERS = 16  # tunnels that are offered again at a time


class Refusals:
    """The tunnels that the vault has refused.

    Args:
        known: keys of the tunnels that may be offered again.
        offer: offers a tunnel again.
    """

    def __init__(self, known: Container[int], offer: Callable[[int], None]) -> None:
        self._known = known
        self._offer = offer
        self._keys: set[int] = set()
        self._full_until = -math.inf

    @property
    def is_empty(self) -> bool:
        """Whether no tunnel is refused."""
        return not self._keys

    def is_full(self) -> bool:
        """Whether the vault has refused a tunnel within `_RETRY_INTERVAL`."""
        return self._full_until > 0 and trio.current_time() < self._full_until

    def add(self, key: int) -> None:
        """Note that the vault has refused a tunnel."""
        self._full_until = trio.current_time() + _RETRY_INTERVAL
        self._keys.add(key)

    def discard(self, key: int) -> None:
        """Forget a tunnel that is over."""
        self._keys.discard(key)

    def clear(self) -> None:
        """Forget all refusals: the vault is gone, and the next one has refused nothing."""
        self._keys.clear()
        self._full_until = -math.inf

    async def run(self) -> None:
        """Offer refused tunnels again, `_MAX_OFFERS` at a time, until cancelled."""
        while True:
            await trio.sleep(_RETRY_INTERVAL)
            for key in [key for key in self._keys if key in self._known][:_MAX_OFFERS]:
                self._keys.discard(key)
                self._offer(key)
