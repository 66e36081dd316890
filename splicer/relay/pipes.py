"""Kernel pipes, which splice(2) needs between two sockets."""

from __future__ import annotations

import array
import fcntl
import os
import termios

from splicer.relay.state import PipeState

# Pipes keep the kernel's default size of 64 KiB: larger ones moved bulk data no faster, and count against
# pipe-user-pages-soft, which all processes of a user share, also in other containers of the node. Beyond that limit a
# new pipe has two pages, or one before Linux 5.14 (pipe(7)): such a pipe is kept only if there is no other.
SMALLEST = 8192  # bytes


class Pipe(PipeState):
    """One pipe.

    `size` is its capacity in bytes; fewer bytes fit in small pieces, since each piece takes a whole slot. `place` is
    its index in the journal.
    """

    __slots__ = ()

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.size = fcntl.fcntl(self.write_fd, fcntl.F_GETPIPE_SZ)
        self.place = -1

    def close(self) -> None:
        """Close both ends; bytes in the pipe are lost, unless the vault has it."""
        os.close(self.read_fd)
        os.close(self.write_fd)


class Inherited(Pipe):
    """The read end of a pipe that another worker filled; its write end is closed.

    Args:
        read_fd: the read end; it is owned from now on.
    """

    __slots__ = ()

    def __init__(self, read_fd: int) -> None:
        self.read_fd, self.write_fd = read_fd, -1
        self.size = 0
        self.place = -1

    @property
    def unread(self) -> int:
        """The number of bytes in the pipe (FIONREAD, ioctl_pipe(2))."""
        answer = array.array("i", [0])
        fcntl.ioctl(self.read_fd, termios.FIONREAD, answer)
        return answer[0]

    def close(self) -> None:
        """Close the read end."""
        os.close(self.read_fd)
