"""Releases of tunnels that are over, collected into few messages.

Each message wakes the vault, which delays handshakes more than the message itself: releases that can wait are batched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import trio

_BATCH_WINDOW = 0.005  # seconds for which releases wait for others
_MAX_BATCH = 256  # releases in one message

Then = Callable[[], None]
Say = Callable[[Sequence[int], Then], None]
_Released = tuple[int, Then, Then]


class Releases:
    """Collects releases and sends them together.

    Args:
        say: sends the keys in one message; its second argument is called when that was sent, or the vault is away.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._released: list[_Released] = []
        self._added = trio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether all releases were posted."""
        return not self._released

    def add(self, key: int, then: Then, after: Then, *, soon: bool) -> None:
        """Release a tunnel.

        Args:
            key: the tunnel's key.
            then: called when the release was sent.
            after: called when `then` was called for all tunnels of the same message.
            soon: post it at once.
        """
        self._released.append((key, then, after))
        if soon or len(self._released) >= _MAX_BATCH:
            self.post()
        elif len(self._released) == 1:
            self._added.set()

    # A callback may release another tunnel, so the list is replaced before the message is posted.
    def post(self) -> None:
        """Post the collected releases."""
        released, self._released = self._released, []
        if released:
            self._say([key for key, _, _ in released], partial(_call_back, released))

    async def run(self) -> None:
        """Post the releases of each window, until cancelled."""
        while True:
            if not self._released:
                self._added = trio.Event()
                await self._added.wait()
            await trio.sleep(_BATCH_WINDOW)
            self.post()


def _call_back(released: list[_Released]) -> None:
    for _, then, _ in released:
        then()
    for _, _, after in released:
        after()
