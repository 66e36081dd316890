"""How a worker leaves: its calls go to another one, or it stays until they are over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from splicer.session.context import SessionContext
from splicer.worker.draining import LAST_REQUEST_TIMEOUT
from splicer.worker.inheritance import Heir

_POLL_INTERVAL = 0.025  # seconds between two looks at what has to end


class Tunnels(Protocol):
    """`relay.api.Relay`, as far as whoever leaves needs it."""

    @property
    def left(self) -> int:
        """How many were left to the vault."""
        ...

    @property
    def tunnels(self) -> int:
        """How many are open here."""
        ...

    def let_go(self) -> None:
        """Touch none of them any more."""


class Protection(Protocol):
    """`worker.vault_link.VaultLink`, as far as whoever leaves needs it."""

    @property
    def settled(self) -> bool:
        """Whether the vault has all that there is here."""
        ...

    def stop_serving(self) -> None:
        """Take no calls of the slot any more."""

    def close(self) -> None:
        """Hang up: the calls are another's."""


class Leaving:
    """Ends a worker's work in order. Nothing is cut off here: what does not end is waited for.

    Args:
        context: whose work it is.
        hub: has the tunnels.
        link: to the vault.
        stop_accepting: is called first.
    """

    def __init__(
        self, context: SessionContext, hub: Tunnels, link: Protection, stop_accepting: Callable[[], None]
    ) -> None:
        self._context = context
        self._hub = hub
        self._link = link
        self._stop_accepting = stop_accepting

    # A connection without a request goes to the heir, or has one more answered, and that answer says that it is the
    # last. Only then the log may be waited for: nobody sends anything here any more.
    async def leave(self, heir: Heir | None = None) -> None:
        """Take nothing new; the heir gets the client connections that idle."""
        self._stop_accepting()
        self._link.stop_serving()
        self._context.retiring = True
        await self._context.idle.end_within(LAST_REQUEST_TIMEOUT, None if heir is None else heir.take)

    # Frames and handshakes go on until nothing is under way but tunnels, and the vault knows all of these. From then on
    # nothing here touches them.
    async def hand_over(self, seconds: float, linger: float | None, handed_over: Callable[[], None]) -> None:
        """Leave the calls to another worker.

        Args:
            seconds: for exchanges under way before the calls go.
            linger: seconds for all the rest; None: as long as the configuration gives a drain.
            handed_over: is called when the vault has the calls.
        """
        with trio.move_on_after(seconds):
            await _until(lambda: not self._under_way())
        with trio.move_on_after(self._context.rules.deadlines.drain if linger is None else linger):
            await _until(lambda: self._link.settled or not self._hub.tunnels)
            if self._link.settled:
                self._hub.let_go()
                self._link.close()
                handed_over()
            await self.finish()

    async def finish(self) -> None:
        """Wait until nothing is under way, and no call is left here."""
        await _until(lambda: not self._under_way() and not self._hub.tunnels)

    def _under_way(self) -> int:
        return self._context.counts.active - self._context.lingering - self._hub.tunnels - self._hub.left


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - an event would cost every exchange, this is rare
        await trio.sleep(_POLL_INTERVAL)
