"""A vault that notes all that it is told of pipes, in order."""

from __future__ import annotations

import array
import fcntl
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, cast

import pytest
import trio

Note = tuple[str, int, int]
"""What happened; at which place in the journal; the word, or the descriptor that filled."""


def unread(pipe: int) -> int:
    """How many bytes wait in a pipe."""
    answer = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, answer)
    return answer[0]


class FakeJournal(array.array):  # type: ignore[type-arg]  # array.array takes no parameter at run time
    """A journal that knows what was in a pipe when its word was written by Python."""

    def __new__(cls, _: FakeVault) -> Self:
        return cast("Self", super().__new__(cls, "Q", bytes(8 * 1024)))

    def __init__(self, vault: FakeVault) -> None:
        self._vault = vault

    def __setitem__(self, place: Any, word: Any) -> None:
        assert not unread(self._vault.held[place]), "these bytes belonged to somebody else"
        super().__setitem__(place, word)
        self._vault.notes.append(("word", place, word))

    def begin(self, place: int, word: int) -> None:
        """What it says of a pipe that has just come."""
        super().__setitem__(place, word)


class FakeVault:
    """A `PipeRegistry` with a duplicate of each pipe's read end.

    `full`: it can hear no more now; `away`: nor soon; `refusal`: what it answers to everything.
    """

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.held: dict[int, int] = {}
        self.words = FakeJournal(self)
        self.full = self.away = False
        self.refusal: OSError | None = None
        self.room = trio.Event()

    def add_pipe(self, place: int, fd: int, word: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.full or self.away:
            raise BlockingIOError
        assert place not in self.held, "a place that is taken"
        assert bool(unread(fd)) == bool(word), "a clean pipe is nobody's, and a dirty one somebody's"
        self.held[place] = os.dup(fd)
        self.words.begin(place, word)
        self.notes.append(("add", place, fd))

    def drop_pipe(self, place: int) -> None:
        os.close(self.held.pop(place))
        self.notes.append(("drop", place, 0))

    async def wait(self) -> bool:
        if not self.away:
            await self.room.wait()
        return not self.away

    def find(self, word: int) -> int:
        """A duplicate of the pipe whose bytes belong there."""
        [found] = [fd for place, fd in self.held.items() if unread(fd) and self.words[place] == word]
        return os.dup(found)

    def close(self) -> None:
        for fd in self.held.values():
            os.close(fd)
        self.held.clear()

    @contextmanager
    def watching_fills(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Note each attempt to put bytes into a pipe that is held: ("fill", place, from where, or -1)."""
        splice, write = os.splice, os.write

        def note(source: int, sink: int) -> None:
            inode = os.fstat(sink).st_ino
            for place, fd in self.held.items():
                if os.fstat(fd).st_ino == inode:
                    self.notes.append(("fill", place, source))

        def spliced(src: int, dst: int, count: int, *, flags: int) -> int:
            note(src, dst)
            return splice(src, dst, count, flags=flags)

        def written(fd: int, data: bytes) -> int:
            note(-1, fd)
            return write(fd, data)

        with monkeypatch.context() as patches:
            patches.setattr(os, "splice", spliced)
            patches.setattr(os, "write", written)
            yield
