"""The journal: shared memory that says which tunnel and direction the bytes in each relay pipe belong to.

One word of 64 bits for each pipe, `key | direction`, written before each fill: one store, which no kill can cut in
two. A drained pipe's word may stay: what a pipe holds is asked of the pipe itself, and an empty one means nothing.
"""

from __future__ import annotations

import mmap
import os

PLACES = 1 << 16  # pipes of one worker; untouched pages take no memory
_BYTES = PLACES * 8


class Journal:
    """One worker's journal, mapped.

    Args:
        fd: a memfd from `create`, or one that came from a worker; None makes a new one. It is owned from now on.

    Raises:
        OSError, ValueError: it can't be mapped.
    """

    def __init__(self, fd: int | None = None) -> None:
        if fd is None:
            fd = os.memfd_create("splicer-journal", os.MFD_CLOEXEC)
            os.ftruncate(fd, _BYTES)
        self.fd = fd
        try:
            self._map = mmap.mmap(fd, _BYTES)
        except (OSError, ValueError):
            os.close(fd)
            raise
        self.words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Unmap and close."""
        self.words.release()
        self._map.close()
        os.close(self.fd)
