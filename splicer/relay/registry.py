"""The interface to the vault for the relay's pipes, so that their bytes outlive this process."""

from __future__ import annotations

import array
from typing import Any, Protocol

_PLACES = 1 << 16


class PipeRegistry(Protocol):
    """Keeps the pipes for the case that this worker dies; the vault, through `worker.vault_link.VaultLink`."""

    @property
    def words(self) -> Any:
        """The journal: at a pipe's place, the tunnel and the direction of the bytes in the pipe."""
        ...

    def add_pipe(self, place: int, fd: int, word: int) -> None:
        """Keep a pipe by its read end.

        Args:
            place: its index in the journal.
            fd: its read end.
            word: the word to write there; not before this call, because the vault may not have dropped the pipe that
                had the place before, and not later, because this pipe may hold bytes.

        Raises:
            BlockingIOError: the channel is full; `wait`.
            OSError: the vault is gone.
        """

    def drop_pipe(self, place: int) -> None:
        """Don't keep the pipe any longer."""

    async def wait(self) -> bool:
        """Wait until the vault can take more messages; False: it takes none for now."""
        ...


class NullRegistry:
    """Keeps nothing; used by a hub without a vault."""

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
