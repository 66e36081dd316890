"""Kernel pipes: what splice(2) needs between two sockets.

Invariants: a pipe in the pool is empty. A dirty pipe is closed instead, for it would leak one call's audio into
another's. The vault knows a pipe before its first byte.
"""

from __future__ import annotations

import array
import fcntl
import os
import termios
from contextlib import suppress
from typing import Any, Protocol

from attrs import define, field

# Pipes keep the kernel's default of 64 KiB: larger ones moved bulk data no faster, and count against a user's
# pipe-user-pages-soft, which all processes of a user share, those of other containers on the same node too. Past that a
# new pipe holds two pages, or one before Linux 5.14 (pipe(7)): one to keep only if there is no other, for a pipe made
# for each frame, and told to the vault, costs more than three times as much.
_SMALLEST = 8192
_PLACES = 1 << 16


class PipeRegistry(Protocol):
    """Who keeps the pipes of a worker that dies; `worker.vault_link.VaultLink`."""

    @property
    def words(self) -> Any:
        """The journal: at a pipe's place, the tunnel and the direction that its bytes belong to."""
        ...

    def add_pipe(self, place: int, fd: int, word: int) -> None:
        """Keep a pipe by its read end.

        Args:
            place: its place in the journal.
            fd: its read end.
            word: what the journal says there from now on; not earlier, for a pipe that had the place may still be on
                its way out, and not later, for this one may hold bytes.

        Raises:
            BlockingIOError: not now; `wait`.
            OSError: not any more.
        """

    def drop_pipe(self, place: int) -> None:
        """Keep it no longer."""

    async def wait(self) -> bool:
        """Wait until it can hear more; False: it takes nothing for now."""
        ...


class NullRegistry:
    """Keeps nothing: what a hub without a vault works with."""

    def __init__(self) -> None:
        self.words = array.array("Q", bytes(8 * _PLACES))

    def add_pipe(self, place: int, fd: int, word: int) -> None:
        """See `PipeRegistry`."""
        self.words[place] = word

    def drop_pipe(self, place: int) -> None:
        """See `PipeRegistry`."""

    async def wait(self) -> bool:
        """See `PipeRegistry`."""
        return True


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


@define
class PipePool:
    """Clean pipes, ready to use.

    Args:
        keeper: is told of each.
        keep: how many idle pipes to keep open; a storm of slow readers must not hold descriptors for ever.
    """

    registry: PipeRegistry = field(factory=NullRegistry)
    keep: int = 64
    in_use: int = field(default=0, init=False)
    _idle: list[Pipe] = field(factory=list, init=False)
    _places: list[int] = field(factory=list, init=False)
    _next: int = field(default=0, init=False)
    _last: Pipe | None = field(default=None, init=False)
    _lent: bool = field(default=False, init=False)

    @property
    def idle(self) -> int:
        """How many clean pipes wait."""
        return len(self._idle)

    @property
    def clean(self) -> list[Pipe]:
        """Those that wait; `take` gives the last one."""
        return self._idle

    def reserve(self) -> None:
        """Put one pipe by, for when no other can be had.

        Raises:
            OSError: as `take`.
        """
        self._last = self._make()

    def take(self, least: int = 0) -> Pipe:
        """A clean pipe.

        Args:
            least: bytes that should fit, if a pipe of that size can be had.

        Raises:
            BlockingIOError: the keeper can't be told of a new one now.
            OSError: EMFILE or ENFILE, when no descriptor is left for a new one (pipe(2)).
        """
        pipe = self._idle.pop() if self._idle and self._idle[-1].size >= least else self._make()
        self.in_use += 1
        return pipe

    def take_last(self) -> Pipe | None:
        """The pipe that was put by, if it is there. The next one that is given back is put by in its place."""
        pipe, self._last = self._last, None
        if pipe is not None:
            self.in_use += 1
            self._lent = True
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Take back a pipe that has been drained to the last byte."""
        self.in_use -= 1
        if self._lent and pipe.write_fd >= 0:
            self._last, self._lent = pipe, False
        elif pipe.write_fd >= 0 and len(self._idle) < (self.keep if pipe.size > _SMALLEST else 1):
            self._idle.append(pipe)
        else:
            self._close(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe that may hold bytes."""
        self.in_use -= 1
        self._close(pipe)

    def leave(self, pipe: Pipe) -> None:
        """Close a pipe that goes to another worker: its keeper has its read end, and needs its place in the journal."""
        self.in_use -= 1
        pipe.close()

    # It gets a place like any other pipe, so that a vault that knows nothing of its past keeps it too.
    def adopt(self, read_fd: int, word: int) -> Inherited:
        """Count a pipe of another worker in; `give_back` and `discard` close it.

        Args:
            read_fd: it is owned from now on.
            word: what the journal says of it.
        """
        self.in_use += 1
        pipe = Inherited(read_fd)
        with suppress(OSError):  # the vault has it from before
            self._register(pipe, word)
        return pipe

    def close(self) -> None:
        """Close the idle pipes."""
        if self._last is not None:
            self._idle.append(self._last)
            self._last = None
        while self._idle:
            self._close(self._idle.pop())

    def _make(self) -> Pipe:
        pipe = Pipe()
        try:
            self._register(pipe, 0)
        except BaseException:
            pipe.close()
            raise
        return pipe

    def _register(self, pipe: Pipe, word: int) -> None:
        place = self._places[-1] if self._places else self._next
        self.registry.add_pipe(place, pipe.read_fd, word)
        if self._places:
            self._places.pop()
        else:
            self._next += 1
        pipe.place = place

    def _close(self, pipe: Pipe) -> None:
        pipe.close()
        if pipe.place >= 0:
            self.registry.drop_pipe(pipe.place)
            self._places.append(pipe.place)
