"""Kernel pipes: what splice(2) needs between two sockets."""

from __future__ import annotations

import array
import fcntl
import os
import termios

# Pipes keep the kernel's default of 64 KiB: larger ones moved bulk data no faster, and count against a user's
# pipe-user-pages-soft, which all processes of a user share, those of other containers on the same node too. Past that a
# new pipe holds two pages, or one before Linux 5.14 (pipe(7)): one to keep only if there is no other.
SMALLEST = 8192  # bytes


class Pipe:
    """One pipe.

    `size` is its capacity in bytes; fewer fit when they come in small pieces: each takes a whole slot. `place` is its
    place in the journal.
    """

    __slots__ = ("place", "read_fd", "size", "write_fd")

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.size = fcntl.fcntl(self.write_fd, fcntl.F_GETPIPE_SZ)
        self.place = -1

    def close(self) -> None:
        """Close both ends; what it holds is gone."""
        os.close(self.read_fd)
        os.close(self.write_fd)


class Inherited(Pipe):
    """The read end of a pipe that another worker filled; nobody writes to it any more.

    Args:
        read_fd: it is owned from now on.
    """

    __slots__ = ()

    def __init__(self, read_fd: int) -> None:
        self.read_fd, self.write_fd = read_fd, -1
        self.size = 0
        self.place = -1

    @property
    def unread(self) -> int:
        """How many bytes it holds (FIONREAD, ioctl_pipe(2))."""
        answer = array.array("i", [0])
        fcntl.ioctl(self.read_fd, termios.FIONREAD, answer)
        return answer[0]

    def close(self) -> None:
        """Close it."""
        os.close(self.read_fd)
