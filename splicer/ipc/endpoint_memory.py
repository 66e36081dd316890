"""The memory of the endpoint snapshot: one process writes it, all others read it, and no one ever waits.

It has two halves. A new text is written into the half that is not in use; then one aligned store of the sequence, the
last, publishes it. So a writer that is killed at any instant leaves the text before whole, and the next writer goes on.

    word 0        the sequence; 0: nothing was ever published
    words 1, 2    length and CRC-32 of half 0
    words 3, 4    length and CRC-32 of half 1
    word 5        when the writer was last seen alive: milliseconds on the monotonic clock
    words 6, 7    unused
    64            half 0
    64 + 1 MiB    half 1
"""

from __future__ import annotations

import fcntl
import mmap
from io import FileIO
from zlib import crc32

from splicer.vault.memory import sealed_memory

HALF = 1 << 20  # bytes: the longest text
_HEADER = 64
_BYTES = _HEADER + 2 * HALF  # pages that nobody touches cost nothing
_ALIVE = 5  # the word
_TRIES = 4


class SnapshotFull(OSError):
    """The text is longer than a half; what was published before stays."""


def make_endpoint_memory() -> int:
    """A descriptor of new memory in which nothing was published.

    Raises:
        OSError: see `sealed_memory`.
    """
    return sealed_memory("splicer-endpoints", _BYTES)


class EndpointMemory:
    """The memory, mapped to be read.

    Args:
        fd: its descriptor, which stays the caller's.
        writable: whether this process may become its writer.
    """

    def __init__(self, fd: int, *, writable: bool = False) -> None:
        access = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
        self._fd = fd
        self._lock: FileIO | None = None
        self._map = mmap.mmap(fd, _BYTES, prot=access)
        self._words = memoryview(self._map)[:_HEADER].cast("Q")

    @property
    def sequence(self) -> int:
        """The number of texts that were published."""
        return self._words[0]

    @property
    def alive_at(self) -> float:
        """When the writer was last seen alive, on the monotonic clock, seconds."""
        return self._words[_ALIVE] / 1000

    # A processor may reorder another one's stores (ARM does): the text is right only if its CRC is. While it was
    # copied, the writer may have gone on to the same half.
    def read(self) -> tuple[int, bytes] | None:
        """The sequence and the text; None: there is none, or it changes too fast."""
        for _ in range(_TRIES):
            sequence = self._words[0]
            if not sequence:
                return None
            half = sequence & 1
            length, crc = self._words[1 + 2 * half], self._words[2 + 2 * half]
            start = _HEADER + half * HALF
            text = self._map[start : start + min(length, HALF)]
            if self._words[0] == sequence and crc32(text) == crc:
                return sequence, text
        return None

    # All processes have the same open file, and flock(2) would give all of them the lock: so the memory is opened anew.
    # The kernel drops the lock at the process's end.
    def claim(self) -> bool:
        """Become the writer, for as long as this process lives; False: another process is.

        Raises:
            OSError: no descriptor is left.
        """
        self._lock = self._lock or FileIO(f"/proc/self/fd/{self._fd}", "r+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def renew(self, now: float) -> None:
        """Say that the writer is alive; only for the writer, regularly.

        Args:
            now: on the monotonic clock, seconds.
        """
        self._words[_ALIVE] = int(now * 1000)

    def publish(self, text: bytes) -> None:
        """Replace the text; only for the writer.

        Raises:
            SnapshotFull: it is too long.
        """
        if len(text) > HALF:
            raise SnapshotFull(f"{len(text)} bytes of {HALF}")
        sequence = self._words[0] + 1
        half = sequence & 1
        start = _HEADER + half * HALF
        self._map[start : start + len(text)] = text
        self._words[1 + 2 * half], self._words[2 + 2 * half] = len(text), crc32(text)
        self._words[0] = sequence
