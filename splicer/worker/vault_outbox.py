"""The queue of a worker's messages to the vault, and whether the vault takes them.

A vault that takes no message for a second counts as away: nothing waits for it then, and messages stay in the queue
until it takes one again. The channel is kept meanwhile: if a second one were opened, the vault would find the first one
closed, take this worker for dead, and give its calls to the next worker.
"""

from __future__ import annotations

import math
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio

from splicer.vault import protocol

_TIMEOUT = 1.0  # seconds without progress after which the vault counts as away
_POLL_INTERVAL = 0.002  # seconds between two attempts to send

Packet = tuple[bytes, tuple[int, ...]]  # a message and its descriptors
Make = Callable[[], Packet | None]  # None: the message is obsolete


def nothing() -> None:
    """Do nothing: the default of callbacks."""


class Outbox:
    """One channel to the vault. Messages are sent in order; after them registrations, which may be withdrawn.

    A message is made when it is sent: a descriptor that was closed while its message waited may be another's number by
    then.

    Args:
        sock: our end, non-blocking; it is closed elsewhere.
        changed: called with whether the vault takes messages, when that changes.
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
        self._taken = trio.current_time()  # when a message was taken last, or began to wait

    @property
    def is_empty(self) -> bool:
        """Whether all messages were sent."""
        return not self._messages and not self._offers

    @property
    def can_send(self) -> bool:
        """Whether a message may be sent at once: no earlier message waits."""
        return not self._messages

    def send_now(self, data: bytes, fds: tuple[int, ...]) -> bool:
        """Send a message at once or not at all, if `can_send`; return whether it was sent."""
        return self._try_to_send((data, fds))

    def post(self, make: Make, told: Callable[[], None] = nothing) -> None:
        """Send a message as soon as possible.

        Args:
            make: makes the message when it is its turn.
            told: called when the message was sent, or the vault counts as away.
        """
        if not self._messages and self._try_to_send(make()):
            told()
            return
        self._begin_to_wait()
        self._messages.append((make, nothing if self.away else told))
        if self.away:
            told()

    def offer(self, key: int, make: Make) -> None:
        """Send a tunnel's registration as soon as possible, which may be at once.

        Args:
            key: the tunnel's key.
            make: makes the message when it is its turn.
        """
        if not (self.is_empty and self._try_to_send(make())):
            self._begin_to_wait()
            self._offers[key] = make

    def withdraw(self, key: int) -> bool:
        """Withdraw the registration of a tunnel that is over; return whether it had not been sent yet."""
        return self._offers.pop(key, None) is not None

    async def until_told(self, key: int) -> None:
        """Wait until a registration was sent, for at most a second, and not while the vault counts as away."""
        with trio.move_on_after(_TIMEOUT):
            while key in self._offers and not self.away:
                await self._moved.park()

    async def room(self) -> bool:
        """Wait until a message may be sent; False: the vault counts as away."""
        if not self.away:
            self._begin_to_wait()
            await self._moved.park()
        return not self.away

    def flush(self) -> None:
        """Send queued messages, as many as the channel takes at once."""
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
            self.clear()  # the end of the channel is about to be read
            return
        if self.away and not self._is_over:
            self.away = False
            self._changed(True)

    def clear(self) -> None:
        """Drop all messages: the channel is over."""
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

    # On a broken channel every message counts as sent: its end is about to be read.
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
        if self._moved:
            self._moved.unpark_all()

    # A writable socket is not enough: too many descriptors may be in flight (ETOOMANYREFS, unix(7)). Hence the sleep.
    async def _writable(self) -> None:
        with suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_writable(self.sock)
        await trio.sleep(_POLL_INTERVAL)
