"""The spans that wait for their export: a bounded queue of packets."""

from __future__ import annotations

import math
from collections import deque

import trio

from splicer.otlp.packets import spans_in

MOST_SPANS = 8192


class SpanQueue:
    """Packets in the order of their arrival, each with the slot of its worker.

    Invariant: it holds at most `MOST_SPANS` spans; a packet that would exceed that is refused.
    """

    def __init__(self) -> None:
        self._packets: deque[tuple[int, bytes]] = deque()
        self.spans = 0
        self._enough = math.inf  # the number of spans that `wait` waits for
        self._news = trio.Event()
        self._hurried = False

    def put(self, slot: int, packet: bytes) -> bool:
        """Add a packet; False: there is no room, and it was dropped."""
        spans = spans_in(packet)
        if self.spans + spans > MOST_SPANS:
            return False
        self._packets.append((slot, packet))
        self.spans += spans
        if self.spans >= self._enough:
            self._news.set()
        return True

    def take(self, most: int) -> list[tuple[int, bytes]]:
        """Remove the oldest packets, with at most so many spans together, but at least one packet if there is one."""
        taken = list[tuple[int, bytes]]()
        room = most
        while self._packets and (not taken or spans_in(self._packets[0][1]) <= room):
            slot, packet = self._packets.popleft()
            taken.append((slot, packet))
            room -= spans_in(packet)
            self.spans -= spans_in(packet)
        return taken

    def hurry(self) -> None:
        """Let nobody wait any more."""
        self._hurried = True
        self._news.set()

    async def wait(self, enough: int) -> None:
        """Wait until there are so many spans, or until `hurry`."""
        while self.spans < enough and not self._hurried:
            self._enough, self._news = enough, trio.Event()
            try:
                await self._news.wait()
            finally:
                self._enough = math.inf
