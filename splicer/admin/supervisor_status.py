"""What the supervisor has said last."""

from __future__ import annotations

from collections.abc import Callable

import trio

from splicer.ipc.facts import EdgeFacts, OperatorDrains


class SupervisorStatus:
    """How things stand, by the supervisor's last words."""

    def __init__(self) -> None:
        self.now = EdgeFacts()
        self._news = trio.Event()

    def learn(self, facts: EdgeFacts) -> None:
        """Take them in; whoever waits for some looks at them."""
        self.now = facts
        self._news.set()
        self._news = trio.Event()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for facts that make something true."""
        while not true():
            await self._news.wait()

    @property
    def drains(self) -> OperatorDrains:
        """What operators drain."""
        return self.now.drains

    @property
    def draining(self) -> bool:
        """Whether the whole edge is drained, be it by a SIGTERM or by an operator."""
        return self.now.draining or self.drains.all is not None
