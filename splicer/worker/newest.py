"""Work that is done one piece at a time, and of which only the newest piece matters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Work = TypeVar("Work")
Start = Callable[..., None]  # starts a task: `VitalTasks.start_soon`


# What was asked for later must never be overtaken, nor done beside what was asked for earlier.
class NewestOnly(Generic[Work]):
    """Does what is asked for, in order; what waits is dropped when something newer is asked for.

    Args:
        start: starts a task.
        do: does one piece; it raises nothing.
        done: is called when nothing waits any more.
        drop: gets a piece that won't be done.
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
        self._waiting: list[Work] = []  # one at most
        self._is_running = False

    def ask(self, work: Work) -> None:
        """Have a piece done as soon as the one before it is."""
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
