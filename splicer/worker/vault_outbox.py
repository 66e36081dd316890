"""What a worker says to the vault, in order, and whether it is taken.

A vault that takes nothing for a second counts as away: nobody waits for it then, and what there is to say stays here
until it takes something again. The channel stays the same all the while: one that were opened beside it would make the
other look like a dead worker's, whose calls the vault gives to the next one.
"""

from __future__ import annotations

import math
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio

from splicer.vault import protocol

_TIMEOUT = 1.0  # seconds
_POLL_INTERVAL = 0.002  # seconds

Packet = tuple[bytes, tuple[int, ...]]  # a message, and the descriptors that go with it
Make = Callable[[], Packet | None]  # None: there is nothing to say any more


def nothing() -> None:
    """Who says something wants to do nothing more."""


class Outbox:
    """One channel to the vault. Messages go out in order; after them registrations, which may be withdrawn.

    What is sent is made when it leaves: a descriptor that was closed while its message waited may be another's number
    by then.

    Args:
        sock: our end, non-blocking; it is closed elsewhere.
        changed: is told whether the vault takes what is said, when that changes.
    """

    def __init__(self, sock: socket.socket, changed: Callable[[bool], None]) -> None:
        self.sock = sock
        self.away = False
        self._is_over = False
        self._changed = changed
        self._messages: deque[tuple[Make, Callable[[], None]]] = deque()
        self._offers: dict[int, Make] = {}
        self._moved = trio.lowlevel.ParkingLot()
        self._queued = trio.Event()
        self._taken = trio.current_time()  # when something was taken last, or began to wait

    @property
    def is_empty(self) -> bool:
        """Whether all that was said has left."""
        return not self._messages and not self._offers

    @property
    def can_send(self) -> bool:
        """Whether something may be sent out of turn: nothing that was said earlier waits."""
        return not self._messages

    def send_now(self, data: bytes, fds: tuple[int, ...]) -> bool:
        """Send something at once or not at all, if `can_send`; whether it has left."""
        return self._try_to_send((data, fds))

    def post(self, make: Make, told: Callable[[], None] = nothing) -> None:
        """Say something as soon as it can be said.

        Args:
            make: gives the message when it is its turn.
            told: is called when the message has left, or nobody waits for that any more.
        """
        if not self._messages and self._try_to_send(make()):
            told()
            return
        self._begin_to_wait()
        self._messages.append((make, nothing if self.away else told))
        if self.away:
            told()

    def offer(self, key: int, make: Make) -> None:
        """Register a tunnel as soon as it can be said, which may be at once.

        Args:
            key: the tunnel's.
            make: gives the message when it is its turn.
        """
        if not (self.is_empty and self._try_to_send(make())):
            self._begin_to_wait()
            self._offers[key] = make

    def withdraw(self, key: int) -> bool:
        """A tunnel is over; whether the vault has not been told of it."""
        return self._offers.pop(key, None) is not None

    async def until_told(self, key: int) -> None:
        """Wait until a registration has left, for a second at most, and not for a vault that is away."""
        with trio.move_on_after(_TIMEOUT):
            while key in self._offers and not self.away:
                await self._moved.park()

    async def room(self) -> bool:
        """Wait until something may be sent; False: the vault is away."""
        if not self.away:
            self._begin_to_wait()
            await self._moved.park()
        return not self.away

    def flush(self) -> None:
        """Send what there is to say, as far as it can be sent at once."""
        try:
            while self._messages:
                make, told = self._messages[0]
                self._send(make())
                self._messages.popleft()
                told()
            while self._offers:
                key, make = next(iter(self._offers.items()))
                self._send(make())
                self._offers.pop(key, None)
        except BlockingIOError:
            return
        except OSError:
            self.clear()  # its end is about to be read
            return
        if self.away and not self._is_over:
            self.away = False
            self._changed(True)

    def clear(self) -> None:
        """The channel is over: nobody will hear of what is left."""
        self._is_over = True
        messages, self._messages = self._messages, deque()
        self._offers.clear()
        self._moved.unpark_all()
        for _, told in messages:
            told()

    async def run(self) -> None:
        """Send until cancelled, or the channel is over."""
        while not self._is_over:
            if not self._is_waited_for and not self.away:
                self._queued = trio.Event()
                await self._queued.wait()
                continue
            with trio.move_on_at(math.inf if self.away else self._taken + _TIMEOUT):
                await self._writable()
                self._moved.unpark_all()
            self.flush()
            if self._is_waited_for and not self.away and trio.current_time() >= self._taken + _TIMEOUT:
                self._give_up()

    def _give_up(self) -> None:
        self.away = True
        messages = list(self._messages)
        self._messages = deque((make, nothing) for make, _ in messages)
        self._moved.unpark_all()
        for _, told in messages:
            told()
        self._changed(False)

    @property
    def _is_waited_for(self) -> bool:
        return bool(self._messages or self._offers or self._moved)

    def _begin_to_wait(self) -> None:
        if not self._is_waited_for:
            self._taken = trio.current_time()
        self._queued.set()

    # On a broken channel everything has left: its end is about to be read.
    def _try_to_send(self, packet: Packet | None) -> bool:
        try:
            self._send(packet)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _send(self, packet: Packet | None) -> None:
        if packet is not None:
            protocol.send(self.sock, *packet)
        self._taken = trio.current_time()
        self._moved.unpark_all()

    # It may not be the socket's own buffer that is full (ETOOMANYREFS, unix(7)).
    async def _writable(self) -> None:
        with suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_writable(self.sock)
        await trio.sleep(_POLL_INTERVAL)
