"""Memory shared by several processes. Its size is sealed: access to a truncated part would raise SIGBUS (mmap(2))."""

from __future__ import annotations

import fcntl
import os

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def sealed_memory(name: str, size: int) -> int:
    """A descriptor of new shared memory (memfd_create(2)) of `size` bytes, all zero.

    Raises:
        OSError: memfd_create(2) or ftruncate(2) failed.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd
