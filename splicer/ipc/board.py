"""The board: shared memory in which each process shows its numbers to the others. One row a process.

A row belongs to one process at a time, and only its owner writes it; the supervisor clears it when that one is dead.
"""

from __future__ import annotations

import mmap
from enum import IntEnum

from splicer.vault.memory import sealed_memory

ROWS = 256
_COLUMNS = 16
_BYTES = ROWS * _COLUMNS * 8


class Column(IntEnum):
    """What a row says."""

    BEAT = 0  # grows as long as the event loop makes progress (`ipc.heartbeat`, `relay.instrument`)
    TUNNELS = 1
    EXCHANGES = 2
    ACCEPTED = 3  # from here on: session.context.StubStatus, in its order
    HANDLED = 4
    REQUESTS = 5
    READING = 6
    WRITING = 7
    WAITING = 8
    SLOT = 9  # that a worker serves; 0: none
    ADOPTED = 10  # tunnels that were another worker's
    PIPES_POOLED = 11
    PIPES_PARKED = 12
    VAULT = 13  # 1: calls are protected; in row 0: how many tunnels the vault holds
    LISTENING = 14  # 1: it accepts connections; row 0 has no process, and another use for this column:
    SEEN_TO_POD = 14  # in row 0 alone: the most bytes that a scrape has told of
    IDLE = 15  # clients without a request: each may have one more before the process ends; in row 0:
    SEEN_TO_CLIENT = 15


COUNTS = slice(Column.ACCEPTED, Column.WAITING + 1)
_OPEN = slice(Column.READING, Column.WAITING + 1)
_KEPT = (Column.ACCEPTED, Column.HANDLED, Column.REQUESTS, Column.ADOPTED)  # totals: a dead process's are not forgotten


class Board:
    """The board, mapped. Row 0 keeps the totals of the dead.

    Args:
        fd: of an existing one; None makes a new one. It is owned from now on.
    """

    def __init__(self, fd: int | None = None) -> None:
        if fd is None:
            fd = sealed_memory("splicer-board", _BYTES)
        self.fd = fd
        self._words = memoryview(mmap.mmap(fd, _BYTES)).cast("q")

    def row(self, number: int) -> memoryview[int]:
        """A row, as it is and to be written."""
        return self._words[number * _COLUMNS : (number + 1) * _COLUMNS]

    def total(self, column: Column) -> int:
        """The sum of a column over all rows."""
        return sum(self._words[column::_COLUMNS])

    @property
    def connections(self) -> int:
        """Client connections that are open: each stands in one of three places."""
        return sum(map(self.total, (Column.READING, Column.WRITING, Column.WAITING)))

    @property
    def asking(self) -> int:
        """Clients whose next request may be under way: none of it has come, or not all of its head."""
        return self.total(Column.READING) + sum(self._words[_COLUMNS + Column.IDLE :: _COLUMNS])

    @property
    def slots(self) -> set[int]:
        """Those that a process serves."""
        return {self.row(number)[Column.SLOT] for number in range(1, ROWS)} - {0}

    @property
    def vaulted(self) -> int:
        """How many tunnels the vault holds: by the supervisor, who hears of them before anybody sees them."""
        return self.row(0)[Column.VAULT]

    @property
    def remaining(self) -> int:
        """How many tunnels there are, those included that no worker has at the moment."""
        return max(self.total(Column.TUNNELS), self.vaulted)

    def others(self, number: int) -> list[int]:
        """The sums of `session.context.StubStatus` over all rows but one."""
        return [sum(self._words[column::_COLUMNS]) - self.row(number)[column] for column in range(*COUNTS.indices(16))]

    def active(self, number: int) -> int:
        """Client connections that are open in all rows but one."""
        return self.connections - sum(self.row(number)[_OPEN])

    def accepting(self, number: int) -> list[int]:
        """How many client connections are open in each row, but one, whose process accepts more."""
        rows = enumerate(self._words[Column.LISTENING :: _COLUMNS])
        return [sum(self.row(row)[_OPEN]) for row, listens in rows if listens and row not in (0, number)]

    def clear(self, number: int) -> None:
        """Its process is dead: only its totals stay, in row 0."""
        row, dead = self.row(number), self.row(0)
        for kept in _KEPT:  # between these two the sum is too low, never too high: what is told later must not fall
            count, row[kept] = row[kept], 0
            dead[kept] += count
        for column in range(_COLUMNS):
            row[column] = 0
