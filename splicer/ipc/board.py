"""The board: shared memory in which each process publishes its numbers for the others. Each process has one row.

A row belongs to one process at a time, and only its owner writes it; the supervisor clears it when the owner is dead.
"""

from __future__ import annotations

import mmap
import os
from enum import IntEnum

from splicer.ipc.connect_board import ConnectBoard
from splicer.ipc.endpoint_memory import make_endpoint_memory
from splicer.ipc.load_board import LoadBoard
from splicer.ipc.route_board import RouteBoard
from splicer.ipc.tls_table import make_tls_memory
from splicer.vault.memory import sealed_memory

ROWS = 256
_COLUMNS = 16
_BYTES = ROWS * _COLUMNS * 8


class Column(IntEnum):
    """The columns of a row."""

    BEAT = 0  # grows as long as the event loop makes progress (`ipc.heartbeat`, `relay.instrument`)
    TUNNELS = 1
    EXCHANGES = 2
    ACCEPTED = 3  # this and the next five: session.context.StubStatus, in its order
    HANDLED = 4
    REQUESTS = 5
    READING = 6
    WRITING = 7
    WAITING = 8
    SLOT = 9  # the slot that a worker serves; 0: none
    ADOPTED = 10  # tunnels taken over from other workers
    PIPES_POOLED = 11
    PIPES_PARKED = 12
    VAULT = 13  # 1: calls are protected; in row 0: the number of tunnels that the vault holds
    LISTENING = 14  # 1: the process accepts connections; row 0 has no such process, and uses the column as follows:
    SEEN_TO_POD = 14  # only in row 0: the most bytes that a scrape has reported
    IDLE = 15  # clients without a request, each of which may send one more before the process ends; in row 0:
    SEEN_TO_CLIENT = 15


COUNTS = slice(Column.ACCEPTED, Column.WAITING + 1)
_OPEN = slice(Column.READING, Column.WAITING + 1)
_KEPT = (Column.ACCEPTED, Column.HANDLED, Column.REQUESTS, Column.ADOPTED)  # totals, which survive their process


class Board:
    """The board, mapped into memory. Row 0 keeps the totals of dead processes.

    Args:
        fd: the descriptor of an existing board, which is owned from now on; None makes a new one.
        routes: the same of its counts by route (`routes`).
        loads: the same of its counts by endpoint (`loads`).
        endpoints: the same of the endpoint snapshot's memory (`ipc.endpoint_memory`), which is only kept here.
        tls: the same of the TLS table (`ipc.tls_table`), which is only kept here.
        connects: the same of the outcomes of connects (`connects`).
    """

    def __init__(
        self,
        fd: int | None = None,
        routes: int | None = None,
        loads: int | None = None,
        endpoints: int | None = None,
        tls: int | None = None,
        connects: int | None = None,
    ) -> None:
        if fd is None:
            fd = sealed_memory("splicer-board", _BYTES)
        self.fd = fd
        self._words = memoryview(mmap.mmap(fd, _BYTES)).cast("q")
        self.routes = RouteBoard(ROWS, routes)
        self.loads = LoadBoard(ROWS, loads)
        self.endpoints = make_endpoint_memory() if endpoints is None else endpoints
        self.tls = make_tls_memory() if tls is None else tls
        self.connects = ConnectBoard(ROWS, connects)

    @property
    def fds(self) -> tuple[int, int, int, int, int, int]:
        """All descriptors, in the order of the arguments."""
        return self.fd, self.routes.fd, self.loads.fd, self.endpoints, self.tls, self.connects.fd

    def replace_tls(self, fd: int) -> None:
        """Use another TLS table, which is owned from now on; only as long as no process has the present one."""
        os.close(self.tls)
        self.tls = fd

    def close(self) -> None:
        """Close the descriptors; what is mapped stays."""
        for fd in self.fds:
            os.close(fd)

    def row(self, number: int) -> memoryview[int]:
        """A row; writes to it change the board."""
        return self._words[number * _COLUMNS : (number + 1) * _COLUMNS]

    def total(self, column: Column) -> int:
        """The sum of a column over all rows."""
        return sum(self._words[column::_COLUMNS])

    @property
    def connections(self) -> int:
        """The number of open client connections; each is in one of three states."""
        return sum(map(self.total, (Column.READING, Column.WRITING, Column.WAITING)))

    @property
    def asking(self) -> int:
        """The number of clients whose next request may be on its way: its head has not come, or not completely."""
        return self.total(Column.READING) + sum(self._words[_COLUMNS + Column.IDLE :: _COLUMNS])

    @property
    def slots(self) -> set[int]:
        """The slots that are served."""
        return {self.row(number)[Column.SLOT] for number in range(1, ROWS)} - {0}

    @property
    def vaulted(self) -> int:
        """The number of tunnels in the vault, from the supervisor; tunnels are registered before they are opened."""
        return self.row(0)[Column.VAULT]

    @property
    def remaining(self) -> int:
        """The number of tunnels, including those that have no worker at the moment."""
        return max(self.total(Column.TUNNELS), self.vaulted)

    def others(self, number: int) -> list[int]:
        """The sums of `session.context.StubStatus` over all rows but one."""
        return [sum(self._words[column::_COLUMNS]) - self.row(number)[column] for column in range(*COUNTS.indices(16))]

    def active(self, number: int) -> int:
        """The number of open client connections in all rows but one."""
        return self.connections - sum(self.row(number)[_OPEN])

    def accepting(self, number: int) -> list[int]:
        """The number of open client connections in each row, except one, whose process accepts connections."""
        rows = enumerate(self._words[Column.LISTENING :: _COLUMNS])
        return [sum(self.row(row)[_OPEN]) for row, listens in rows if listens and row not in (0, number)]

    def clear(self, number: int) -> None:
        """Clear the row of a dead process; its totals are added to row 0."""
        self.routes.clear(number)
        self.loads.bury(number)
        row, dead = self.row(number), self.row(0)
        for kept in _KEPT:  # between the two lines the sum is too low, never too high: reported totals must not fall
            count, row[kept] = row[kept], 0
            dead[kept] += count
        for column in range(_COLUMNS):
            row[column] = 0
