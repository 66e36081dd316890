"""Tunnels that are over, until the vault is told of them.

Each message wakes the vault, which costs a handshake more than the message does: what can wait goes with others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import trio

_BATCH_WINDOW = 0.005  # seconds that releases wait for others
_MAX_BATCH = 256  # releases in one message

Then = Callable[[], None]
Say = Callable[[Sequence[int], Then], None]
_Released = tuple[int, Then, Then]


class Releases:
    """Collects releases, and has them said together.

    Args:
        say: is given the keys for one message, and what to call when that has left, or nobody waits for it any more.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._released: list[_Released] = []
        self._added = trio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether all have been said."""
        return not self._released

    def add(self, key: int, then: Then, after: Then, *, soon: bool) -> None:
        """A tunnel is over.

        Args:
            key: the tunnel's.
            then: is called when that was said.
            after: is called when `then` was, for all that were said together.
            soon: it waits for no others.
        """
        self._released.append((key, then, after))
        if soon or len(self._released) >= _MAX_BATCH:
            self.post()
        elif len(self._released) == 1:
            self._added.set()

    # A function that is called back may release another tunnel, so the list is a new one before anything is said.
    def post(self) -> None:
        """Say what has gathered."""
        released, self._released = self._released, []
        if released:
            self._say([key for key, _, _ in released], partial(_call_back, released))

    async def run(self) -> None:
        """Say what gathers within each window, until cancelled."""
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
