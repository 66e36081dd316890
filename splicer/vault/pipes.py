"""The relay pipes of all workers, and those that a dead worker has left with bytes in them.

A pipe that holds bytes goes with the tunnel that the journal names, or is closed if that is unknown: its bytes never go
to another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from splicer.vault.held import Channel, Held, unread


class Pipes:
    """Keeps them: a living worker's are its channel's, a dead one's are its tunnels'.

    Args:
        tunnels: all that are held, by key.
    """

    def __init__(self, tunnels: Mapping[int, Held]) -> None:
        self._tunnels = tunnels
        self.inherited: dict[int, Held] = {}  # tunnels with pipes of a dead worker, by key

    def add(self, channel: Channel, place: int, fd: int) -> None:
        """A worker has made a pipe.

        Args:
            channel: the worker's.
            place: the pipe's in the journal.
            fd: its read end, which is owned from now on.
        """
        self.drop(channel, place, 0)
        channel.pipes[place] = fd
        self._hold_once(channel, place)

    # A pipe that is closed dirty belongs to a call that is about to be released. Until then it is kept: if its worker
    # dies now, the next one must not go on with a hole in the middle.
    def drop(self, channel: Channel, place: int, word: int) -> None:
        """A worker has closed a pipe, of which the journal said this word."""
        fd = channel.pipes.pop(place, None)
        if fd is not None:
            self._leave(channel, fd, word)

    def sort(self, channel: Channel) -> int:
        """A worker is dead: its journal says whose the bytes in its pipes are.

        Returns:
            How many pipes have some.
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
        """A tunnel has pipes of a dead worker."""
        self.inherited[held.key] = held

    def forget(self, held: Held) -> None:
        """A tunnel is over."""
        self.inherited.pop(held.key, None)

    def close_drained(self) -> None:
        """Close the pipes of dead workers that are empty by now."""
        for key, held in list(self.inherited.items()):
            for direction, fd in list(held.pipes.items()):
                if not unread(fd):
                    os.close(held.pipes.pop(direction))
            if not held.pipes:
                del self.inherited[key]

    # An inherited pipe has become one of its new worker's own, and is in that one's journal.
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
            os.close(older)  # empty, or the same: a direction with bytes in one pipe is not read into another
        held.pipes[word & 1] = fd
        self.inherited[held.key] = held
        return True
