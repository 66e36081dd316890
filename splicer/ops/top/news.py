"""What reaches the screen from outside: news of the stream and outcomes of actions, each from a thread of its own."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from attrs import frozen

from splicer.ops.answer import JsonObject
from splicer.ops.failure import AdminFailed


@frozen
class State:
    """The state of the edge, as /events has it."""

    state: JsonObject


@frozen
class Calls:
    """The calls, as /events has them."""

    answer: JsonObject


@frozen
class Lost:
    """The stream has ended, or could not be opened; another try follows.

    Args:
        failure: why.
    """

    failure: AdminFailed


@frozen
class Done:
    """An action is over.

    Args:
        text: how it went.
    """

    text: str


News = State | Calls | Lost | Done


class Mailbox:
    """A queue whose news make a descriptor readable, so that one `select` waits for them and for keys."""

    def __init__(self) -> None:
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        """Readable if there is news."""
        return self._read

    @property
    def alarm(self) -> int:
        """A byte that is written here wakes whoever waits; for signals."""
        return self._write

    def put(self, news: News) -> None:
        """Tell it; from any thread."""
        self._news.put(news)
        with suppress(BlockingIOError):  # full: it is readable
            os.write(self._write, b"\0")

    def take(self) -> list[News]:
        """All news so far."""
        with suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass
        found: list[News] = []
        with suppress(queue.Empty):
            while True:
                found.append(self._news.get_nowait())
        return found


def act(mailbox: Mailbox, action: Callable[[], str]) -> None:
    """Do something that takes time in a thread of its own, and tell how it went.

    Args:
        mailbox: is told.
        action: returns a line about the outcome, or raises `AdminFailed`.
    """

    def run() -> None:
        try:
            done = Done(action())
        except AdminFailed as failed:
            done = Done("; ".join(failed.faults))
        mailbox.put(done)

    Thread(target=run, daemon=True).start()
