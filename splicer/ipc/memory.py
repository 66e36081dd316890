"""Giving memory back that only a process's start needed."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_MADV_DONTNEED = 4  # <sys/mman.h>


def give_back() -> None:
    """Give the kernel back free memory, and the pages of libraries: those that are still used are mapped again.

    Linking, filling tables and self-tests touch most pages of a library, and nothing does later.
    """
    with suppress(OSError, ValueError, AttributeError):  # musl has no malloc_trim
        library = ctypes.CDLL(None)
        with Path("/proc/self/smaps").open() as mappings:
            clean = list(clean_pages(mappings))
        for start, end in clean:
            library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
        library.malloc_trim(0)


def clean_pages(mappings: Iterable[str]) -> Iterator[tuple[int, int]]:
    """The first and last address of each mapping of a file to which nobody can write, and has written.

    Linking writes to some that can only be read afterwards (RELRO, ld(1)): their pages would be lost.

    Args:
        mappings: the lines of /proc/PID/smaps (proc_pid_smaps(5)).
    """
    found = None
    for line in mappings:
        if line[0].islower() or line[0].isdigit():
            found = None
            addresses, rights, _, _, _, *path = line.split(maxsplit=5)
            if rights in ("r--p", "r-xp") and "".join(path).startswith("/"):
                start, end = addresses.split("-")
                found = int(start, 16), int(end, 16)
        elif found is not None and line.startswith("Anonymous: ") and int(line.split()[1]) == 0:
            yield found
