"""The supervisor's last facts."""

from __future__ import annotations

from collections.abc import Callable

import trio

from splicer.ipc.facts import EdgeFacts, OperatorDrains


class SupervisorStatus:
    """The state of the edge, from the supervisor's last facts."""

    def __init__(self) -> None:
        self.now = EdgeFacts()
        self._news = trio.Event()

    def learn(self, facts: EdgeFacts) -> None:
        """Store new facts, and wake the tasks in `until`."""
        self.now = facts
        self._news.set()
        self._news = trio.Event()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until new facts make a condition true."""
        while not true():
            await self._news.wait()

    @property
    def drains(self) -> OperatorDrains:
        """The operators' drains."""
        return self.now.drains

    @property
    def draining(self) -> bool:
        """Whether the whole edge is drained, by SIGTERM or by an operator."""
        return self.now.draining or self.drains.all is not None
