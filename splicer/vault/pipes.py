"""The relay pipes of all workers, and pipes with bytes that dead workers have left.

Invariant: a pipe that holds bytes goes with the tunnel that the journal names, or is closed if that tunnel is unknown.
Its bytes never go to another tunnel.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from splicer.vault.held import Channel, Held, unread


class Pipes:
    """Keeps the pipes: those of a living worker with its channel, those of a dead one with its tunnels.

    Args:
        tunnels: all held tunnels, by key.
    """

    def __init__(self, tunnels: Mapping[int, Held]) -> None:
        self._tunnels = tunnels
        self.inherited: dict[int, Held] = {}  # tunnels with pipes of a dead worker, by key

    def add(self, channel: Channel, place: int, fd: int) -> None:
        """Keep a pipe that a worker has made.

        Args:
            channel: the worker's channel.
            place: the pipe's index in the journal.
            fd: its read end; it is owned from now on.
        """
        self.drop(channel, place, 0)
        channel.pipes[place] = fd
        self._hold_once(channel, place)

    # If a worker closes a pipe that holds bytes, its call is about to be released. Until then the pipe is kept: if the
    # worker dies before, the next one must not continue the call with bytes missing.
    def drop(self, channel: Channel, place: int, word: int) -> None:
        """Handle that a worker has closed a pipe; `word` is the pipe's word in the journal."""
        fd = channel.pipes.pop(place, None)
        if fd is not None:
            self._leave(channel, fd, word)

    def sort(self, channel: Channel) -> int:
        """Give the pipes of a dead worker to the tunnels that its journal names, or close them.

        Returns:
            The number of pipes that hold bytes.
        """
        journal = channel.journal
        dirty = 0
        for place, fd in channel.pipes.items():
            dirty += self._leave(channel, fd, journal.word(place) if journal is not None else 0)
        channel.pipes.clear()
        if journal is not None:
            journal.close()
        return dirty

    def inherit(self, held: Held) -> None:
        """Note that a tunnel has pipes of a dead worker."""
        self.inherited[held.key] = held

    def forget(self, held: Held) -> None:
        """Forget a tunnel that is over."""
        self.inherited.pop(held.key, None)

    def close_drained(self) -> None:
        """Close the pipes of dead workers that have become empty."""
        for key, held in list(self.inherited.items()):
            for direction, fd in list(held.pipes.items()):
                if not unread(fd):
                    os.close(held.pipes.pop(direction))
            if not held.pipes:
                del self.inherited[key]

    # If the new worker of a tunnel registers an inherited pipe as its own, the pipe is in that worker's journal, and
    # the older duplicate is closed.
    def _hold_once(self, channel: Channel, place: int) -> None:
        word = channel.journal.word(place) if channel.journal is not None else 0
        held = self._tunnels.get(word & ~1)
        older = held.pipes.get(word & 1) if held is not None and held.owner is channel else None
        if held is not None and older is not None and os.path.sameopenfile(older, channel.pipes[place]):
            os.close(held.pipes.pop(word & 1))

    def _leave(self, channel: Channel, fd: int, word: int) -> bool:
        held = self._tunnels.get(word & ~1)
        if held is None or held.owner is not channel or not unread(fd):
            os.close(fd)
            return False
        if (older := held.pipes.pop(word & 1, None)) is not None:
            os.close(older)  # empty or the same pipe: no direction is read into a second pipe while one holds bytes
        held.pipes[word & 1] = fd
        self.inherited[held.key] = held
        return True
