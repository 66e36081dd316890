"""Pipes are made and registered with the vault ahead of use.

Invariant: the vault knows a pipe before its first byte. To tell it may have to wait for its channel, and moving bytes
never waits; so a mover takes pipes from a stock, and a task of its own keeps that filled. While the stock is empty,
bytes stay where they are safe: in the source's socket.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from splicer.relay.mover_interface import ByteMover
from splicer.relay.pipes import SMALLEST, Inherited, Pipe
from splicer.relay.registry import PipeRegistry

# An idle worker has only the pipe that is put by: the rest is made when the first tunnel comes.
_LOW = 4  # clean pipes: with fewer, more are made
_HIGH = 8  # so many, and one for each direction that waits for a pipe
_MOST = 16  # clean pipes that are made in one go: frames wait meanwhile
_RETRY_INTERVAL = 0.25  # seconds until the next attempt when no pipe can be made, or the vault takes nothing


class PipeStock:
    """All pipes of a relay: makes, registers, counts and closes them.

    Args:
        registry: is told of each.
        mover: uses them.
        refilled: is called when pipes have come for which somebody waited.
    """

    def __init__(self, registry: PipeRegistry, mover: ByteMover, refilled: Callable[[], None]) -> None:
        self.registry = registry
        self._mover = mover
        self._refilled = refilled
        self._count = 0  # of all that are open
        self._places: list[int] = []
        self._next = 0
        self._wanted = trio.Event()

    @property
    def idle(self) -> int:
        """How many clean pipes wait, without the one that is put by."""
        return self._mover.pipes.count

    @property
    def in_use(self) -> int:
        """How many pipes hold bytes, or are about to."""
        return self._count - self._mover.pipes.count - self._mover.pipes.has_last

    def reserve(self) -> None:
        """Put one pipe by, for when no other can be had.

        Raises:
            OSError: EMFILE or ENFILE: no descriptor is left (pipe(2)).
        """
        self._mover.pipes.give(self._make())

    def take(self, least: int) -> Pipe:
        """A clean pipe, for bytes that are there before a tunnel moves.

        Args:
            least: bytes that should fit, if a pipe of that size can be had.

        Raises:
            BlockingIOError: the vault can't be told of a new one now.
            OSError: EMFILE or ENFILE: no descriptor is left for a new one (pipe(2)).
        """
        pipe = self._mover.pipes.take(least) or self._make()
        self.look()
        return pipe

    def take_last(self) -> Pipe | None:
        """The pipe that is put by, if it is there."""
        return self._mover.pipes.take_last()

    # It gets a place like any other pipe, so that a vault that knows nothing of its past keeps it too.
    def adopt(self, read_fd: int, word: int) -> Inherited:
        """Count a pipe of another worker in; `discard` closes it.

        Args:
            read_fd: it is owned from now on.
            word: what the journal says of it.
        """
        self._count += 1
        pipe = Inherited(read_fd)
        with suppress(OSError):  # the vault has it from before
            self._register(pipe, word)
        return pipe

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe, which may hold bytes."""
        self._count -= 1
        pipe.close()
        if pipe.place >= 0:
            self.registry.drop_pipe(pipe.place)
            self._places.append(pipe.place)

    def leave(self, pipe: Pipe) -> None:
        """Close a pipe that goes to another worker: the vault has its read end, and needs its place in the journal."""
        self._count -= 1
        pipe.close()

    def close(self) -> None:
        """Close those that no tunnel has."""
        while (pipe := self._mover.pipes.take() or self._mover.pipes.take_last()) is not None:
            self.discard(pipe)

    # ---- ahead of use ----

    def look(self) -> None:
        """See whether more are needed."""
        if self._mover.pipes.count < _LOW:
            self._wanted.set()

    async def run(self) -> None:
        """Keep the stock filled until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            filled = await self._refill()
            if self._mover.starved:
                self._refilled()
            if not filled:
                await trio.sleep(_RETRY_INTERVAL)
                self.look()

    async def _refill(self) -> bool:
        while self._mover.pipes.count < min(_HIGH + self._mover.starved, _MOST):
            try:
                pipe = self._make()
            except BlockingIOError:
                if not await self.registry.wait():
                    return False
            except OSError:
                return False
            else:
                if pipe.size <= SMALLEST and self._mover.pipes.count:
                    self.discard(pipe)
                    return False
                self._mover.pipes.give(pipe)
        return True

    def _make(self) -> Pipe:
        pipe = Pipe()
        try:
            self._register(pipe, 0)
        except BaseException:
            pipe.close()
            raise
        self._count += 1
        return pipe

    def _register(self, pipe: Pipe, word: int) -> None:
        place = self._places[-1] if self._places else self._next
        self.registry.add_pipe(place, pipe.read_fd, word)
        if self._places:
            self._places.pop()
        else:
            self._next += 1
        pipe.place = place
