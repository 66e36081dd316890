"""The journal: shared memory that says which tunnel and direction the bytes in each relay pipe belong to.

It has one word of 64 bits for each pipe, `key | direction`, written before each fill as one store, which no kill can
split. The word of a drained pipe may stay: the pipe itself is asked for its bytes, and an empty one has no meaning.

A worker maps its own journal. The vault reads it with pread(2): to access a mapping of a file that has been truncated
raises SIGBUS (mmap(2)), which would kill the vault.
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
    """A worker's own journal, mapped into memory."""

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
    """The journal of a worker, which may be dead. A worker of an older version has not sealed it.

    Args:
        fd: the descriptor from the worker; the reader owns it from now on.

    Raises:
        OSError, ValueError: the file is no journal.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        try:
            fcntl.fcntl(fd, fcntl.F_GET_SEALS)  # fails for all but shared memory: a read of others might never end
            if os.fstat(fd).st_size != PLACES * _WORD:
                raise ValueError("a journal has another length")  # noqa: TRY301 - the handler closes the descriptor
        except (OSError, ValueError):
            os.close(fd)
            raise

    def word(self, place: int) -> int:
        """The word of the pipe at a place; 0, which is no tunnel's key, if there is none."""
        return int.from_bytes(os.pread(self.fd, _WORD, place * _WORD).ljust(_WORD, b"\0"), sys.byteorder)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)
