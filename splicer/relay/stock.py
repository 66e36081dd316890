"""Making pipes and registering them with the vault ahead of use.

Invariant: a pipe is registered before it holds its first byte. A registration may have to wait for the vault's channel,
and moving bytes never waits; so a mover takes pipes from a stock, which a task keeps filled. While the stock is empty,
bytes stay safely in the source's socket.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from splicer.relay.clean_pipes import FEW
from splicer.relay.mover_interface import ByteMover
from splicer.relay.pipes import SMALLEST, Inherited, Pipe
from splicer.relay.registry import PipeRegistry

# An idle worker has only the reserve pipe: the others are made when the first tunnel comes.
_HIGH = 8  # clean pipes to make, plus one for each direction that waits for a pipe
_MOST = 16  # clean pipes to make at once: frames wait meanwhile
_RETRY_INTERVAL = 0.25  # seconds until the next attempt when no pipe can be made, or the vault takes no message


class PipeStock:
    """All pipes of a relay: makes, registers, counts and closes them.

    Args:
        registry: registers each pipe.
        mover: uses the pipes.
        refilled: called when there are new pipes and directions wait for some.
    """

    def __init__(self, registry: PipeRegistry, mover: ByteMover, refilled: Callable[[], None]) -> None:
        self.registry = registry
        self._mover = mover
        self._refilled = refilled
        self._count = 0  # open pipes
        self._places: list[int] = []
        self._next = 0
        self._wanted = trio.Event()

    @property
    def idle(self) -> int:
        """The number of clean pipes, without the reserve."""
        return self._mover.pipes.count

    @property
    def in_use(self) -> int:
        """The number of pipes that hold bytes, or are about to."""
        return self._count - self._mover.pipes.count - self._mover.pipes.has_last

    def reserve(self) -> None:
        """Make the reserve pipe, for times when no other can be made.

        Raises:
            OSError: EMFILE or ENFILE: no descriptor is left (pipe(2)).
        """
        self._mover.pipes.give(self._make())

    def take(self, least: int) -> Pipe:
        """Take a clean pipe, for bytes that are there before a tunnel starts.

        Args:
            least: the size in bytes that the pipe should have, if possible.

        Raises:
            BlockingIOError: a new pipe can't be registered with the vault now.
            OSError: EMFILE or ENFILE: no descriptor is left for a new pipe (pipe(2)).
        """
        pipe = self._mover.pipes.take(least) or self._make()
        self.look()
        return pipe

    def take_last(self) -> Pipe | None:
        """Take the reserve pipe, if there is one."""
        return self._mover.pipes.take_last()

    # The pipe gets a place like any other, so that a vault that has started since then keeps it too.
    def adopt(self, read_fd: int, word: int) -> Inherited:
        """Add a pipe of another worker; `discard` closes it.

        Args:
            read_fd: its read end; it is owned from now on.
            word: its word in the journal.
        """
        self._count += 1
        pipe = Inherited(read_fd)
        with suppress(OSError):  # if this fails, the vault still has the pipe from the other worker
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
        """Close a pipe that goes to another worker; its registration stays, since the vault needs read end and word."""
        self._count -= 1
        pipe.close()

    def close(self) -> None:
        """Close the pipes that no tunnel has."""
        while (pipe := self._mover.pipes.take() or self._mover.pipes.take_last()) is not None:
            self.discard(pipe)

    # ---- ahead of use ----

    def look(self) -> bool:
        """Check whether more pipes are needed; if they are, the task makes them."""
        if self._mover.pipes.count >= FEW:
            return False
        self._wanted.set()
        return True

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
