"""The TLS table: shared memory with one entry for each connection that a tls process has, and one for the process.

A worker sees only the plain end of a TLS connection: a unix socket, of which the kernel knows neither a round-trip time
nor why it ended. The tls process writes that here, and the worker may write a wish. Each word has one writer. The table
is the edge's, and outlives workers, tls processes and upgrades: so its layout must not change.

Invariant: a tls process writes the end of a connection before it closes the plain end. So an end of stream that no
entry explains comes from a tls process that has died.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import time
from collections import deque
from collections.abc import Container
from enum import IntEnum

from splicer.quality import Quality
from splicer.tls_facts import TlsFacts
from splicer.vault.memory import sealed_memory

ENTRIES = 65_536  # of one tls process; entry 0 has the process's own numbers
WORDS = 8  # of one entry
ROWS = 256  # of the board
_BYTES = ENTRIES * WORDS * 8  # pages that nobody touches cost nothing
_RTT_BITS = 32
_LOW = (1 << _RTT_BITS) - 1
WRITING = 1 << 63
_WRITE_LOOKS, _WRITE_INTERVAL = 20, 0.0005  # how often and with which pause a write is looked at


class Word(IntEnum):
    """The words of an entry."""

    SERIAL = 0  # of its present use; 0: it is free
    RECEIVED = 1  # bytes that were written to the plain end; with `WRITING` while more are
    SENT = 2  # bytes that were read from the plain end
    LAST = 3  # when a byte last moved, in ns on the monotonic clock
    LINE = 4  # the round-trip time in µs, and in the lower half the number of retransmissions
    END = 5  # an `End`
    WISH = 6  # a `Wish`, from the worker


class ProcessWord(IntEnum):
    """The words of entry 0, a tls process's own."""

    CONNECTIONS = 1  # open at present
    TRUNCATED = 2  # ends of stream without close_notify, since its start
    FAILED = 3  # connections that a bug has ended


class End(IntEnum):
    """Why a peer sends nothing more."""

    OPEN = 0
    EOF = 1
    RESET = 2
    TIMED_OUT = 3
    TLS_ERROR = 4  # a record that can't be decrypted, or an alert
    CLOSED = 5  # the worker has closed it
    REFUSED = 6  # an alert in place of the first byte: TLS 1.3 judges a client's certificate after the handshake

    @property
    def reason(self) -> str:
        """The word for the log."""
        return _REASONS.get(self, self.name.lower())


_REASONS = {End.REFUSED: "tls_refused"}


class Wish(IntEnum):
    """What the worker wants when it closes the plain end; without a wish it has died."""

    NONE = 0
    CLOSE = 1
    RESET = 2


def make_tls_memory() -> int:
    """A descriptor of a new table.

    Raises:
        OSError: see `sealed_memory`.
    """
    return sealed_memory("splicer-tls", ROWS * _BYTES)


def is_tls_memory(fd: int) -> bool:
    """Whether a descriptor from another process is a table: to map a file that may be truncated would be fatal."""
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    except OSError:  # no shared memory
        return False
    return bool(sealed) and os.fstat(fd).st_size == ROWS * _BYTES


# A table may outlive those who started the processes in it, so nobody but the kernel knows which rows are in use.
# The lock is the process's own (fcntl(2), advisory record locking), and is gone when it is dead.
def lock_row(fd: int, number: int) -> None:
    """Take a row for this process, until its end.

    Raises:
        BlockingIOError: another process has it.
    """
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)


def free_row(fd: int, taken: Container[int]) -> int:
    """A row that no process has locked, and that is not among `taken`.

    Raises:
        OSError: there is none.
    """
    for number in range(1, ROWS):
        if number not in taken:
            try:
                lock_row(fd, number)
            except BlockingIOError:
                continue
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, number)
            return number
    raise OSError(errno.EAGAIN, "all rows of the TLS table are in use")


class TlsTable:
    """The table, of which each row is mapped when it is first used.

    Args:
        fd: its descriptor, which stays the caller's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rows: dict[int, memoryview[int]] = {}

    def row(self, number: int) -> memoryview[int]:
        """The words of one tls process, by its row on the board.

        Raises:
            ValueError: there is no such row.
        """
        if not 0 <= number < ROWS:
            raise ValueError(f"no row {number}")
        if number not in self._rows:
            self._rows[number] = memoryview(mmap.mmap(self._fd, _BYTES, offset=number * _BYTES)).cast("Q")
        return self._rows[number]

    def entry(self, facts: TlsFacts) -> TlsEntry:
        """One connection's entry, as a worker sees it.

        Raises:
            ValueError: there can't be such an entry.
        """
        if not 0 < facts.entry < ENTRIES:
            raise ValueError(f"no entry {facts.entry}")
        return TlsEntry(self.row(facts.row)[facts.entry * WORDS : (facts.entry + 1) * WORDS], facts)


class TlsEntry:
    """One connection's entry, for its worker.

    If the serial number differs, the entry is another connection's by now, and this one's tls process is dead.
    """

    __slots__ = ("_serial", "_words", "facts")

    def __init__(self, words: memoryview[int], facts: TlsFacts) -> None:
        self._words = words
        self._serial = facts.serial
        self.facts = facts

    @property
    def is_ours(self) -> bool:
        """Whether the entry is still this connection's."""
        return self._words[Word.SERIAL] == self._serial

    @property
    def end(self) -> str:
        """Why the peer sends nothing more: "eof", "reset", ...; "tls_lost" if the tls process has not said it."""
        words = self._words
        end = words[Word.END] if words[Word.SERIAL] == self._serial else End.OPEN
        return End(end).reason if end else "tls_lost"

    @property
    def has_ended(self) -> bool:
        """Whether the tls process has said why the peer sends nothing more."""
        return self.is_ours and self._words[Word.END] != End.OPEN

    @property
    def received(self) -> int | None:
        """Bytes of the peer that the plain end was given; None: unknown.

        A write that is under way is awaited for a moment: its bytes may be with the reader already. Of a tls process
        that died in a write this is a guess.
        """
        if not self.is_ours:
            return None
        for _ in range(_WRITE_LOOKS):
            if not self._words[Word.RECEIVED] & WRITING:
                break
            time.sleep(_WRITE_INTERVAL)
        return self._words[Word.RECEIVED] & ~WRITING

    @property
    def silent(self) -> float | None:
        """Seconds since the last byte, either way; None: unknown."""
        return max(0.0, time.monotonic() - self._words[Word.LAST] / 1e9) if self.is_ours else None

    def quality(self) -> Quality | None:
        """The peer's network quality, of the last second with traffic; None: unknown."""
        line = self._words[Word.LINE] if self.is_ours else 0
        return Quality((line >> _RTT_BITS) / 1e6, line & _LOW) if line else None

    def wish_close(self) -> None:
        """Have the connection closed in order when the plain end is closed."""
        self._wish(Wish.CLOSE)

    def wish_reset(self) -> None:
        """Have it reset."""
        self._wish(Wish.RESET)

    def _wish(self, wish: Wish) -> None:
        if self.is_ours:
            self._words[Word.WISH] = wish


class OwnRow:
    """A tls process's own row.

    Args:
        words: see `TlsTable.row`.
    """

    # A process that gets the row of a dead one must not use its serial numbers again. Entries are reused as late as
    # possible, because a worker may read the end of a connection some time after it.
    def __init__(self, words: memoryview[int]) -> None:
        self.words = words
        self._serial = time.time_ns()
        self._free: deque[int] = deque()
        self._unused = 1
        for word in ProcessWord:
            words[word] = 0

    def claim(self) -> tuple[int, int] | None:
        """An entry for a new connection, and its serial number; None: all are in use."""
        if self._unused < ENTRIES:
            number, self._unused = self._unused, self._unused + 1
        elif self._free:
            number = self._free.popleft()
        else:
            return None
        self._serial += 1
        base = number * WORDS
        for word in range(base, base + WORDS):
            self.words[word] = 0
        self.words[base + Word.LAST] = time.monotonic_ns()
        self.words[base + Word.SERIAL] = self._serial
        self.words[ProcessWord.CONNECTIONS] += 1
        return number, self._serial

    def release(self, number: int) -> None:
        """Give an entry back; its words stay until its next use."""
        self._free.append(number)
        self.words[ProcessWord.CONNECTIONS] -= 1


def line_word(rtt_us: int, retransmits: int) -> int:
    """The value of `Word.LINE`."""
    return (rtt_us & _LOW) << _RTT_BITS | retransmits & _LOW
