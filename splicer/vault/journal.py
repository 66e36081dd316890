"""The journal: shared memory that says which tunnel and direction the bytes in each relay pipe belong to.

One word of 64 bits for each pipe, `key | direction`, written before each fill: one store, which no kill can cut in
two. A drained pipe's word may stay: what a pipe holds is asked of the pipe itself, and an empty one means nothing.

A worker maps its own. Who got it from a worker reads it with pread(2): to touch a mapping of a file that has become
shorter raises SIGBUS (mmap(2)), and ends whoever does.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys

from splicer.vault.memory import sealed_memory

PLACES = 1 << 16  # pipes of one worker; untouched pages take no memory
_WORD = 8  # bytes


class Journal:
    """A worker's own, mapped."""

    def __init__(self) -> None:
        self.fd = sealed_memory("splicer-journal", PLACES * _WORD)
        self._map = mmap.mmap(self.fd, PLACES * _WORD)
        self.words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Unmap and close."""
        self.words.release()
        self._map.close()
        os.close(self.fd)


class JournalReader:
    """The journal of a worker of another process, which may be dead. A worker of an older version has not sealed it.

    Args:
        fd: that came from it. It is owned from now on.

    Raises:
        OSError, ValueError: it is no journal.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        try:
            fcntl.fcntl(fd, fcntl.F_GET_SEALS)  # only shared memory has any: to read anything else may take for ever
            if os.fstat(fd).st_size != PLACES * _WORD:
                raise ValueError("a journal has another length")  # noqa: TRY301 - what is refused is closed here
        except (OSError, ValueError):
            os.close(fd)
            raise

    def word(self, place: int) -> int:
        """What it says of the pipe at a place; 0, which is no tunnel's: nothing."""
        return int.from_bytes(os.pread(self.fd, _WORD, place * _WORD).ljust(_WORD, b"\0"), sys.byteorder)

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)
