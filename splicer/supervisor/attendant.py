"""The admin process: one, and another when it dies. No call needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from splicer.supervisor.fleet import Backoff, Fleet, Owner
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.processes import Process, State
from splicer.supervisor.say import Say

_LONGEST_PAUSE = 30.0  # seconds between two attempts to start it


class Attendant(Owner):
    """Keeps the admin process alive.

    Args:
        fleet: starts it.
        say: the log.
        arguments: what it is started with.
        facts: what it is told: how things stand.
    """

    def __init__(
        self, fleet: Fleet, say: Say, arguments: Callable[[], dict[str, Any]], facts: Callable[[], dict[str, Any]]
    ) -> None:
        self._fleet = fleet
        self._say = say
        self._arguments = arguments
        self._facts = facts
        self._process: Process | None = None
        self._backoff = Backoff()
        self.listeners = Listeners()
        self.wanted = False

    def fill(self) -> None:
        """Start it if it is missing."""
        if self.wanted and self._process is None and self._backoff.is_over(_LONGEST_PAUSE):
            self._process = self._fleet.start(self, "splicer.admin", self._arguments(), [])
            if self._process is None:
                self._backoff.failed()

    def tell(self) -> None:
        """Tell it how things stand now."""
        if self._process is not None and self._process.state is State.SERVING:
            self._process.say("facts", (), **self._facts())

    def dismiss(self) -> None:
        """Stop it; another one follows only if it is still `wanted`."""
        if self._process is not None:
            self._process.state = State.GONE
            self._process.say("stop")

    def heed(self, process: Process, word: str) -> None:
        """See `Owner`."""
        match word, process.state:
            case "ready", State.STARTING:
                process.state = State.PLACED
                process.say("serve", self.listeners.fds, **self._facts())
            case "serving", State.PLACED:
                process.state = State.SERVING
                self._backoff.reset()
                self.tell()

    def bury(self, process: Process, why: str, *, failed: bool) -> None:
        """See `Owner`."""
        if process.state in (State.STARTING, State.PLACED):
            self._backoff.failed()
        if self._process is process:
            self._process = None
        if failed:
            self._say("admin_died", level="error", pid=process.pid, state=process.state.value, reason=why)
