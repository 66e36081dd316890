"""Work that is done one item at a time, where only the newest item matters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Work = TypeVar("Work")
Start = Callable[..., None]  # starts a task: `VitalTasks.start_soon`


# Invariant: items are done in the order of the requests, and never two at the same time.
class NewestOnly(Generic[Work]):
    """Does one item after another; an item that still waits is dropped when a newer one is asked for.

    Args:
        start: starts a task.
        do: does one item; it raises nothing.
        done: called when no item waits any more.
        drop: called with an item that won't be done.
    """

    def __init__(
        self,
        start: Start,
        do: Callable[[Work], Awaitable[None]],
        done: Callable[[], None],
        drop: Callable[[Work], None] = lambda _: None,
    ) -> None:
        self._start = start
        self._do = do
        self._done = done
        self._drop = drop
        self._waiting: list[Work] = []  # at most one item
        self._is_running = False

    def ask(self, work: Work) -> None:
        """Do an item as soon as the one before it is done."""
        for older in self._waiting:
            self._drop(older)
        self._waiting = [work]
        if not self._is_running:
            self._is_running = True
            self._start(self._run)

    async def _run(self) -> None:
        while self._waiting:
            await self._do(self._waiting.pop())
        self._is_running = False
        self._done()
