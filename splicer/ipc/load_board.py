"""What each endpoint has to do, in shared memory for all workers: its tunnels, the handshakes for more, and requests.

Each process has one row, as on the board, and only its owner writes it. In a row, an endpoint has a place, and is found
by the hash of its address: memory grows with the endpoints that have something to do, not with those that there were.

A tunnel that changes its worker is counted all the time. Who leaves tunnels (a worker, or the supervisor in the name of
a dead one, in row 0) says how many have moved away, and who adopts one says that it has moved here. What has moved away
from an endpoint and not arrived yet counts too. It is forgotten some time after the last death: it may be over.
"""

from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Iterable
from enum import IntEnum
from heapq import heappop, heappush
from operator import add
from typing import NamedTuple

from splicer.vault.memory import sealed_memory

MOST_ENDPOINTS = 5000  # that one row has room for; pages that nobody touches take no memory
_HEADER_BYTES = 64  # one word is used: the epoch, a number that grows when what has moved is forgotten
_ON_ITS_WAY_SECONDS = 5.0  # for which a tunnel counts that has no worker; most have one within milliseconds


class Work(IntEnum):
    """The columns of a place."""

    TUNNELS = 0
    OPENING = 1  # handshakes
    REQUESTS = 2
    MOVED = 3  # tunnels that have moved here less those that have moved away, in the row's epoch


_COLUMNS = len(Work)


class Elsewhere(NamedTuple):
    """What the endpoints have to do in other workers, by the hash of the endpoint.

    Args:
        calls: tunnels and handshakes.
        requests: plain requests.
    """

    calls: dict[int, int]
    requests: dict[int, int]


class LoadBoard:
    """The rows of all processes, mapped into memory.

    Args:
        rows: how many there are.
        fd: the descriptor of an existing one, which is owned from now on; None makes a new one.
    """

    def __init__(self, rows: int, fd: int | None = None) -> None:
        of_rows = _HEADER_BYTES + 3 * 8 * rows
        size = of_rows + rows * MOST_ENDPOINTS * (8 + 4 * _COLUMNS)
        self.fd = sealed_memory("splicer-loads", size) if fd is None else fd
        self.memory = mmap.mmap(self.fd, size)
        whole = memoryview(self.memory)
        self.epoch = whole[:8].cast("q")
        words = whole[_HEADER_BYTES:of_rows].cast("q")
        self.versions, self.used, self.epochs = (words[part * rows : (part + 1) * rows] for part in range(3))
        self._counts_at = of_rows + rows * MOST_ENDPOINTS * 8
        self._keys_at = of_rows
        self._keys, self._counts = whole[of_rows : self._counts_at].cast("q"), whole[self._counts_at :].cast("i")
        self._buried: float | None = None  # when the last row was, on the monotonic clock
        if self.used[0]:  # an earlier program of the supervisor's had dead workers
            self._buried = time.monotonic()

    def row(self, number: int) -> LoadRow:
        """A row, to write it, and to read what is in the others."""
        return LoadRow(self, number)

    def keys(self, number: int) -> memoryview[int]:
        """The hash at each place of a row; 0: the place is free."""
        return self._keys[number * MOST_ENDPOINTS : (number + 1) * MOST_ENDPOINTS]

    def counts(self, number: int) -> memoryview[int]:
        """The columns of each place of a row."""
        return self._counts[number * MOST_ENDPOINTS * _COLUMNS : (number + 1) * MOST_ENDPOINTS * _COLUMNS]

    def at(self, number: int, place: int) -> list[int]:
        """The columns of one place of a row."""
        at = (number * MOST_ENDPOINTS + place) * _COLUMNS
        return self._counts[at : at + _COLUMNS].tolist()

    def in_use(self) -> list[tuple[int, int]]:
        """The rows that have something, and how many places of each may be in use. New rows have low numbers."""
        top = -(-len(bytes(self.used).rstrip(b"\0")) // 8)
        return [(number, used) for number, used in enumerate(self.used[:top].tolist()) if used]

    # Searching the bytes takes a microsecond for a few hundred places.
    def find(self, number: int, used: int, key: int) -> int | None:
        """The place of an endpoint in a row."""
        sought = key.to_bytes(8, sys.byteorder, signed=True)
        start = self._keys_at + number * MOST_ENDPOINTS * 8
        at = self.memory.find(sought, start, start + 8 * used)
        while at >= 0 and (at - start) % 8:
            at = self.memory.find(sought, at + 1, start + 8 * used)
        return None if at < 0 else (at - start) // 8

    def columns(self, number: int) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
        """Hash, tunnels, handshakes, requests and moved tunnels at each place of a row; a free place has only zeros."""
        used = self.used[number]
        keys, counts = self.keys(number)[:used].tolist(), self.counts(number)[: used * _COLUMNS].tolist()
        tunnels, opening, requests, moved = (counts[column::_COLUMNS] for column in Work)
        return keys, tunnels, opening, requests, moved if self.epochs[number] == self.epoch[0] else [0] * used

    # ---- of the supervisor ----

    # The dead one's handshakes are over with it. First row 0 has its tunnels, and then its own row none: they may count
    # twice for an instant, but never not at all.
    def bury(self, number: int) -> None:
        """Clear the row of a dead process; its tunnels are on their way to other workers."""
        if not self.used[number]:
            return
        self._buried = time.monotonic()
        left = self.row(0)
        keys, tunnels, _, _, moved = self.columns(number)
        for key, open_here, arrived in zip(keys, tunnels, moved, strict=True):
            if key and open_here != arrived:
                left.move(key, arrived - open_here)
        self._clear(number)

    def tidy(self) -> None:
        """Forget what has moved, if the last death is long ago; call this once a second."""
        if self._buried is not None and time.monotonic() >= self._buried + _ON_ITS_WAY_SECONDS:
            self._buried = None
            self.epoch[0] += 1
            self._clear(0)

    def _clear(self, number: int) -> None:
        used, self.used[number] = self.used[number], 0
        self.keys(number)[:used] = memoryview(bytes(8 * used)).cast("q")
        self.counts(number)[: used * _COLUMNS] = memoryview(bytes(4 * _COLUMNS * used)).cast("i")
        self.versions[number] += 1


class LoadRow:
    """One process's counts, and what the other rows have.

    Args:
        board: the rows.
        number: the row's number.
    """

    def __init__(self, board: LoadBoard, number: int) -> None:
        self._board = board
        self._number = number
        self._keys, self._counts = board.keys(number), board.counts(number)
        used = self._keys[: board.used[number]].tolist()
        self._places = {key: place for place, key in enumerate(used) if key}
        self._free = [place for place, key in enumerate(used) if not key]  # a heap: low places are used again first
        self._moves = 0  # calls of `move`
        self._seen: list[int] = []  # versions of the other rows, when they were read last

    # ---- to write ----

    def tell(self, key: int, tunnels: int, opening: int, requests: int) -> bool:
        """Publish the counts of an endpoint; False: the row has no place for it.

        Args:
            key: the endpoint's hash, not 0.
            tunnels: open tunnels.
            opening: handshakes.
            requests: plain requests.
        """
        place = self._places.get(key)
        if place is None:
            if not (tunnels or opening or requests):
                return True
            if (place := self._take(key)) is None:
                return False
        counts, at = self._counts, place * _COLUMNS
        counts[at] = tunnels
        counts[at + 1] = opening
        counts[at + 2] = requests
        self._board.versions[self._number] += 1
        if not (tunnels or opening or requests or counts[at + 3]):
            self._release(key, place)
        return True

    def move(self, key: int, more: int) -> None:
        """Say that so many tunnels of an endpoint have moved here, or away."""
        board, number = self._board, self._number
        self._moves += 1
        self._forget_moved()
        place = self._places.get(key)
        if place is None and (place := self._take(key)) is None:
            return
        self._counts[place * _COLUMNS + Work.MOVED] += more
        board.versions[number] += 1

    def _take(self, key: int) -> int | None:
        if not self._free and self._board.used[self._number] == MOST_ENDPOINTS:
            self._forget_moved()
        used = self._board.used[self._number]
        if self._free:
            place = heappop(self._free)
        elif used < MOST_ENDPOINTS:
            place = used
            self._board.used[self._number] = used + 1
        else:
            return None
        self._places[key] = place
        self._keys[place] = key
        return place

    def _release(self, key: int, place: int) -> None:
        del self._places[key]
        self._keys[place] = 0
        heappush(self._free, place)
        if not self._places:  # others need not look at places that many endpoints have had
            self._free.clear()
            self._board.used[self._number] = 0

    # Invariant: until the row's epoch is the present one, nobody reads what has moved.
    def _forget_moved(self) -> None:
        board, number = self._board, self._number
        if board.epochs[number] == board.epoch[0]:
            return
        for key, place in list(self._places.items()):
            at = place * _COLUMNS
            self._counts[at + Work.MOVED] = 0
            if not any(self._counts[at : at + Work.MOVED]):
                self._release(key, place)
        board.epochs[number] = board.epoch[0]

    # ---- to read ----

    def others(self, key: int) -> tuple[int, int]:
        """Calls and plain requests of an endpoint in all rows but this one, now."""
        board, calls, requests, moved = self._board, 0, 0, 0
        for number, used in board.in_use():
            place = board.find(number, used, key)
            if place is None:
                continue
            tunnels, opening, plain, arrived = board.at(number, place)
            if board.epochs[number] == board.epoch[0]:
                moved += arrived
            if number != self._number:
                calls += tunnels + opening
                requests += plain
        return calls + max(0, -moved), requests

    def all_others(self) -> Elsewhere | None:
        """The same of all endpoints; None: nothing has changed since the last call."""
        board, rows = self._board, self._board.in_use()
        seen = [board.epoch[0], self._moves]
        for number, _ in rows:
            if number != self._number:
                seen += number, board.versions[number]
        if seen == self._seen:
            return None
        self._seen = seen
        calls: dict[int, int] = {}
        requests: dict[int, int] = {}
        moved: dict[int, int] = {}
        for number, _ in rows:
            keys, tunnels, opening, plain, arrived = board.columns(number)
            if number != self._number:
                _add(calls, keys, map(add, tunnels, opening))
                if any(plain):
                    _add(requests, keys, plain)
            if any(arrived):
                _add(moved, keys, arrived)
        _add(calls, moved, (max(0, -more) for more in moved.values()))
        return Elsewhere(calls, requests)


def _add(sums: dict[int, int], keys: Iterable[int], counts: Iterable[int]) -> None:
    if not sums:
        sums.update(zip(keys, counts, strict=True))
        return
    for key, count in zip(keys, counts, strict=True):
        if count:
            sums[key] = sums.get(key, 0) + count
