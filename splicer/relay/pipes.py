"""Kernel pipes: what splice(2) needs between two sockets.

Invariant: a pipe in the pool is empty. A dirty pipe is closed instead, for it would leak one call's audio into
another's.
"""

from __future__ import annotations

import fcntl
import os

from attrs import define, field

# Pipes keep the kernel's default of 64 KiB: larger ones moved bulk data no faster, and count against a user's
# pipe-user-pages-soft. Past that a new pipe holds two pages, or one before Linux 5.14 (pipe(7)): no pipe to keep.
_SMALLEST = 8192


class Pipe:
    """One pipe; `size` is its capacity in bytes. Fewer fit when they come in small pieces: each takes a whole slot."""

    __slots__ = ("read_fd", "size", "write_fd")

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.size = fcntl.fcntl(self.write_fd, fcntl.F_GETPIPE_SZ)

    def close(self) -> None:
        """Close both ends; what it holds is gone."""
        os.close(self.read_fd)
        os.close(self.write_fd)


@define
class PipePool:
    """Clean pipes, ready to use.

    Args:
        keep: how many idle pipes to keep open; a storm of slow readers must not hold descriptors for ever.
    """

    keep: int = 64
    in_use: int = field(default=0, init=False)
    _idle: list[Pipe] = field(factory=list, init=False)

    @property
    def idle(self) -> int:
        """How many clean pipes wait."""
        return len(self._idle)

    def take(self) -> Pipe:
        """A clean pipe.

        Raises:
            OSError: EMFILE or ENFILE, when no descriptor is left for a new one (pipe(2)).
        """
        pipe = self._idle.pop() if self._idle else Pipe()
        self.in_use += 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Take back a pipe that has been drained to the last byte."""
        self.in_use -= 1
        if len(self._idle) < self.keep and pipe.size > _SMALLEST:
            self._idle.append(pipe)
        else:
            pipe.close()

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe that may hold bytes."""
        self.in_use -= 1
        pipe.close()

    def close(self) -> None:
        """Close the idle pipes."""
        while self._idle:
            self._idle.pop().close()
