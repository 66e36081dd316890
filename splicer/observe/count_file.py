"""Counts in a mapped file: what another process reads, and what outlives the one that counted.

The file is one of prometheus_client's multi-process mode: the number of bytes in use, then entries. Each has the length
of a key, the key, padding up to a multiple of eight bytes, a count, and a time that nobody uses.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from mmap import PAGESIZE, mmap
from pathlib import Path

_LENGTH = struct.Struct("i")
_COUNT = struct.Struct("d")
_BEGIN = 8  # bytes before the first entry
_AFTER = 16  # bytes after a key and its padding
_FIRST_BYTES = 1 << 16  # size of a new file
_MAX_BYTES = 4 << 20  # in use: pods of a Deployment get ever new names, and a file outlives its writer


class CountFile:
    """A file that this process writes to, and no other one. An increment is not atomic, so only one thread may count.

    Args:
        path: the file; one that is there is continued.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._map(os.fstat(self._fd).st_size or _FIRST_BYTES)
        self._used = max(_BEGIN, *_LENGTH.unpack_from(self._bytes))
        self._places = {key: place for key, place, _ in _entries(self._bytes, self._used)}

    def place(self, key: str) -> tuple[memoryview[float], int]:
        """The memory of the counts, and the place of one, which stay valid while the file grows.

        Args:
            key: of the count, which is 0 if it is new.

        Raises:
            OSError: the file is full.
        """
        if key not in self._places:
            self._add(key)
        return self._counts, self._places[key] // _COUNT.size

    def close(self) -> None:
        """Take no new keys; what has its place goes on."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # The length is written last: by then there is all that a reader finds below it.
    def _add(self, key: str) -> None:
        if self._used > _MAX_BYTES:
            raise OSError(errno.ENOSPC, "is full", str(self._path))
        text = key.encode()
        entry = _LENGTH.pack(len(text)) + text + b" " * _padding(len(text)) + bytes(_AFTER)
        size = len(self._bytes)
        while self._used + len(entry) > size:
            size *= 2
        if size > len(self._bytes):
            self._map(size)
        end = self._used + len(entry)
        self._bytes[self._used : end] = entry
        self._bytes[: _LENGTH.size] = _LENGTH.pack(end)
        self._used = end
        self._places[key] = end - _AFTER

    # An older map, which the values so far use, has the same pages.
    def _map(self, size: int) -> None:
        if size > os.fstat(self._fd).st_size:
            os.ftruncate(self._fd, size)
        self._bytes = mmap(self._fd, size)
        self._counts = memoryview(self._bytes).cast("d")


def read_counts(path: Path) -> Iterator[tuple[str, float]]:
    """All keys and counts of a file, which its owner may be writing to.

    Raises:
        OSError: it can't be read.
        ValueError: it is none of these files.
    """
    with path.open("rb") as file:
        data = file.read(PAGESIZE)
        used = _LENGTH.unpack_from(data)[0] if data else 0  # one that is being created is still empty
        data += file.read(max(0, used - len(data)))
    return ((key, count) for key, _, count in _entries(data, used))


def _entries(data: bytes | mmap, used: int) -> Iterator[tuple[str, int, float]]:
    begin = _BEGIN
    while begin < used:
        length = _LENGTH.unpack_from(data, begin)[0]
        key = data[begin + _LENGTH.size : begin + _LENGTH.size + length]
        place = begin + _LENGTH.size + length + _padding(length)
        if not begin < place <= used - _AFTER:
            raise ValueError("an entry that ends beyond the file")
        yield key.decode(), place, _COUNT.unpack_from(data, place)[0]
        begin = place + _AFTER


# It is never 0, as in the library's files.
def _padding(length: int) -> int:
    return 8 - (length + _LENGTH.size) % 8
