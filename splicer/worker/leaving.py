"""The end of a worker's service: its calls go to another worker, or it stays until they are over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from splicer.session.context import SessionContext
from splicer.worker.draining import LAST_REQUEST_TIMEOUT
from splicer.worker.inheritance import Heir

_POLL_INTERVAL = 0.025  # seconds between two checks of the number of exchanges


class Tunnels(Protocol):
    """The part of `relay.api.Relay` that a leaving worker needs."""

    @property
    def left(self) -> int:
        """The number of tunnels left to the vault."""
        ...

    @property
    def tunnels(self) -> int:
        """The number of tunnels that are open here."""
        ...

    def let_go(self) -> None:
        """Leave all tunnels to the vault."""


class Protection(Protocol):
    """The part of `worker.vault_link.VaultLink` that a leaving worker needs."""

    @property
    def settled(self) -> bool:
        """Whether the vault has all tunnels of this worker."""
        ...

    def stop_serving(self) -> None:
        """Take no calls of the slot any more."""

    def close(self) -> None:
        """Close the channel: the vault gives the calls to another worker."""


class Leaving:
    """Ends a worker's service gracefully: nothing is cut off, the worker waits for everything to end.

    Args:
        context: the session's context.
        hub: the relay, which has the tunnels.
        link: the link to the vault.
        stop_accepting: called first.
    """

    def __init__(
        self, context: SessionContext, hub: Tunnels, link: Protection, stop_accepting: Callable[[], None]
    ) -> None:
        self._context = context
        self._hub = hub
        self._link = link
        self._stop_accepting = stop_accepting

    # A connection without a request goes to the heir, or gets one more request answered, with `Connection: close`. Only
    # after that the process may block on the log: no client sends anything here any more.
    async def leave(self, heir: Heir | None = None) -> None:
        """Stop taking new work; the heir gets the idle client connections."""
        self._stop_accepting()
        self._link.stop_serving()
        self._context.retiring = True
        await self._context.idle.end_within(LAST_REQUEST_TIMEOUT, None if heir is None else heir.take)

    # Frames and handshakes go on until only tunnels are left, and all of these are registered with the vault. From then
    # on this process doesn't touch them.
    async def hand_over(self, seconds: float, linger: float | None, handed_over: Callable[[], None]) -> None:
        """Leave the calls to another worker.

        Args:
            seconds: time for exchanges in flight before the calls are handed over.
            linger: seconds for all the rest; None: `deadlines.drain`.
            handed_over: called when the vault has the calls.
        """
        with trio.move_on_after(seconds):
            await _until(lambda: not self._under_way())
        with trio.move_on_after(self._context.rules.deadlines.drain if linger is None else linger):
            await _until(lambda: self._link.settled or not self._hub.tunnels)
            if self._link.settled:
                self._hub.let_go()
                self._context.places.leave_all()
                self._context.balancer.loads.leave_all()
                self._link.close()
                handed_over()
            await self.finish()

    async def finish(self) -> None:
        """Wait until no exchange and no call is left here."""
        await _until(lambda: not self._under_way() and not self._hub.tunnels)

    def _under_way(self) -> int:
        return self._context.counts.active - self._context.lingering - self._hub.tunnels - self._hub.left


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - an event would cost time in every exchange, and this wait is rare
        await trio.sleep(_POLL_INTERVAL)
