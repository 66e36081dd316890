"""What the supervisor has said last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from splicer.ipc.wire import Message

Drains = dict[str, Any]


class SupervisorStatus:
    """How things stand, by the supervisor's last words.

    Its program may be older than this one, and know less: what it never says stands here from the start.
    """

    def __init__(self) -> None:
        self.words: Message = {
            "generation": 0,
            "workers": 0,
            "draining": False,
            "drains": {"all": None, "pods": {}, "routes": {}},
            "reload": {"ok": 0, "failed": 0, "last_ok": True, "last_at": None},
            "restarts": 0,
        }
        self._news = trio.Event()

    def learn(self, words: Message) -> None:
        """Take in its words; whoever waits for some looks at them."""
        self.words.update(words)
        self._news.set()
        self._news = trio.Event()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for facts that make something true."""
        while not true():
            await self._news.wait()

    @property
    def drains(self) -> Drains:
        """What operators drain: `all`, `pods` and `routes`, since when (unix seconds)."""
        drains: Drains = self.words["drains"]
        return drains

    @property
    def draining(self) -> bool:
        """Whether the whole edge is drained, be it by a SIGTERM or by an operator."""
        return self.words["draining"] or self.drains["all"] is not None
