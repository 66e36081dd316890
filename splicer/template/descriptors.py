"""The descriptors of a forked process: those that it was given, and no other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_STANDARD = frozenset((0, 1, 2))


def take(fds: Sequence[int], numbers: Sequence[int]) -> None:
    """Give descriptors other numbers, and close all others but the standard ones.

    Args:
        fds: the descriptors.
        numbers: the new number of each.
    """
    free = []
    for fd, number in zip(fds, numbers, strict=True):
        while fd != number and fd in numbers:  # or else another one would take its place before it has moved
            fd = os.dup(fd)
        free.append(fd)
    for fd, number in zip(free, numbers, strict=True):
        if fd != number:
            os.dup2(fd, number, inheritable=number in _STANDARD)
    for other in _opened() - _STANDARD - set(numbers):
        with suppress(OSError):  # it was that of the directory
            os.close(other)


def _opened() -> set[int]:
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
