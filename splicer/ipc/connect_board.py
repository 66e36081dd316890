"""How connects to endpoints went lately, in shared memory: what one worker has found out, all of them know.

Each process has one row, as on the board, and only its owner writes it: a ring with its newest events, and how many
there have been. Nothing is cleared at a worker's death, so the next one begins with what those before it knew. Who has
not looked for long misses the oldest events; nothing but the order in which endpoints are tried depends on them.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from splicer.vault.memory import sealed_memory

RING = 128  # events of a row
_OUTCOMES = 4  # a word has a time in milliseconds and, below it, one of so many outcomes


class Outcome(IntEnum):
    """How a connect went."""

    CONNECTED = 0
    FAILED = 1  # refused, or unreachable
    SILENT = 2  # there was no answer in time


class ConnectEvent(NamedTuple):
    """What became of a connect.

    Args:
        key: the endpoint's hash.
        outcome: what became of it.
        age: seconds since then.
    """

    key: int
    outcome: Outcome
    age: float


class ConnectBoard:
    """The rows of all processes, mapped into memory.

    Args:
        rows: how many there are.
        fd: the descriptor of an existing one, which is owned from now on; None makes a new one.
    """

    def __init__(self, rows: int, fd: int | None = None) -> None:
        size = 8 * rows * (1 + 2 * RING)
        self.fd = sealed_memory("splicer-connects", size) if fd is None else fd
        words = memoryview(mmap.mmap(self.fd, size)).cast("q")
        self.counts, self._events = words[:rows], words[rows:]

    def row(self, number: int, clock: Callable[[], float] = time.monotonic) -> ConnectRow:
        """A row, to write it, and to read the others.

        Args:
            number: the row's.
            clock: returns the time on the monotonic clock, in seconds.
        """
        return ConnectRow(self, number, clock)

    def ring(self, number: int) -> memoryview[int]:
        """A row's events: the endpoint's hash, and when what happened."""
        return self._events[2 * RING * number : 2 * RING * (number + 1)]


class ConnectRow:
    """One process's events, and what is new in the other rows.

    Args:
        board: the rows.
        number: the row's number.
        clock: returns the time on the monotonic clock, in seconds.
    """

    def __init__(self, board: ConnectBoard, number: int, clock: Callable[[], float]) -> None:
        self._board = board
        self._number = number
        self._clock = clock
        self._ring = board.ring(number)
        self._inherited = board.counts[number]  # events of this row's owners before
        self._raw = b""  # the counts, when they were last looked at
        self._seen = [0] * len(board.counts)

    # The event first, then the count, which is one store.
    def tell(self, key: int, outcome: Outcome) -> None:
        """Publish an event.

        Args:
            key: the endpoint's hash.
            outcome: what became of a connect to it just now.
        """
        count = self._board.counts[self._number]
        at = 2 * (count % RING)
        self._ring[at] = key
        self._ring[at + 1] = int(self._clock() * 1000) * _OUTCOMES + outcome
        self._board.counts[self._number] = count + 1

    def news(self) -> list[ConnectEvent]:
        """What other workers have published since the last call, the oldest first."""
        raw = self._board.counts.tobytes()
        if raw == self._raw:
            return []
        self._raw = raw
        found: list[tuple[int, int]] = []
        for number, count in enumerate(memoryview(raw).cast("q")):
            until = self._inherited if number == self._number else count
            if until > self._seen[number]:
                ring = self._board.ring(number)
                for place in range(max(self._seen[number], until - RING), until):
                    at = 2 * (place % RING)
                    found.append((ring[at + 1], ring[at]))
                self._seen[number] = until
        found.sort()
        now = int(self._clock() * 1000)
        return [
            ConnectEvent(key, Outcome(word % _OUTCOMES), max(0, now - word // _OUTCOMES) / 1000) for word, key in found
        ]
