"""Who is told of the relay's pipes, so that their bytes outlive this process."""

from __future__ import annotations

import array
from typing import Any, Protocol

_PLACES = 1 << 16


class PipeRegistry(Protocol):
    """Who keeps the pipes of a worker that dies: the vault, by `worker.vault_link.VaultLink`."""

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
