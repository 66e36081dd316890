"""The spans that wait for their export: a bounded queue of packets."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import trio

MOST_SPANS = 8192


class SpanQueue:
    """Packets in the order of their arrival, each with the slot of its worker.

    Invariant: it holds at most `MOST_SPANS` spans. There may be thousands of packets a second, so nothing is called for
    each: the number of its spans is its first byte (`packets`).
    """

    def __init__(self) -> None:
        self._packets: deque[tuple[int, bytes]] = deque()
        self.spans = 0
        self._enough = math.inf  # the number of spans that `wait` waits for
        self._news = trio.Event()
        self._hurried = False

    def put(self, slot: int, packets: Sequence[bytes]) -> int:
        """Add packets of a worker; those for which there is no room are dropped.

        Returns:
            The number of spans that were dropped.
        """
        dropped = 0
        for packet in packets:
            spans = packet[0] if packet else 0
            if self.spans + spans > MOST_SPANS:
                dropped += spans
            else:
                self._packets.append((slot, packet))
                self.spans += spans
        if self.spans >= self._enough:
            self._news.set()
        return dropped

    def take(self, most: int) -> list[tuple[int, bytes]]:
        """Remove the oldest packets, with at most so many spans together, but at least one packet if there is one."""
        packets, taken, room = self._packets, list[tuple[int, bytes]](), most
        while packets:
            first = packets[0]
            spans = first[1][0] if first[1] else 0
            if spans > room and taken:
                break
            taken.append(first)
            packets.popleft()
            room -= spans
        self.spans -= most - room
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
