"""A worker's own log lines: events that concern no single request or call."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from splicer.observe.log import Logger
from splicer.observe.observers import Observers

_MAX_TRACEBACK = 2000  # characters, counted from its end, which is the most useful part
_LOG_INTERVAL = 60.0  # seconds between two lines about endpoints that are not counted


class WorkerLog:
    """Logs after `begin`; earlier events are dropped.

    Args:
        tunnels: returns the number of open tunnels, which most lines have.
    """

    def __init__(self, tunnels: Callable[[], int]) -> None:
        self._tunnels = tunnels
        self._logger: Logger | None = None
        self._observers: Observers | None = None
        self._vault_was_away = False
        self._quiet_until = 0.0  # on the monotonic clock

    def begin(self, logger: Logger, observers: Observers) -> None:
        """Log from now on.

        Args:
            logger: writes the lines.
            observers: catches errors in writing a line.
        """
        self._logger, self._observers = logger, observers

    def error(self, event: str, **fields: Any) -> None:
        """Log an error."""
        if self._logger is not None and self._observers is not None:
            self._observers.say(self._logger.error, event, **fields)

    def error_with_tunnels(self, event: str, **fields: Any) -> None:
        """Log an error with the number of open tunnels."""
        self.error(event, **fields, tunnels=self._tunnels())

    def vault_event(self, event: str) -> None:
        """Log that the vault is there again, or why it is not; that it is there at a worker's start is no news."""
        if event != "vault_connected":
            self._vault_was_away = True
            self.error_with_tunnels(event)
        elif self._vault_was_away and self._logger is not None and self._observers is not None:
            self._observers.say(self._logger.info, event, tunnels=self._tunnels())

    def room_made(self, connections: int) -> None:
        """Log that idle connections were closed at the limit."""
        self.error_with_tunnels("idle_connections_closed", connections=connections)

    def endpoints_uncounted(self) -> None:
        """Log that this worker has calls at more endpoints than the others can be told of."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _LOG_INTERVAL
            self.error_with_tunnels("endpoints_uncounted", remedy="raise server.workers, or add edges")

    def garbage_found(self, objects: int, seconds: float) -> None:
        """Log what a full collection has found, if anything."""
        if objects:
            self.error_with_tunnels("garbage_found", objects=objects, ms=round(seconds * 1000, 3))

    def drains_failed(self, error: Exception) -> None:
        """Log that an operator's drains are not followed."""
        self.error("drains_not_followed", error=repr(error))

    def hook_not_closed(self, hook: str, error: str) -> None:
        """Log that a hook of a replaced configuration has failed in its `aclose`."""
        self.error("hook_not_closed", hook=hook, error=error)

    def query_failed(self, error: Exception) -> None:
        """Log that the admin process was not answered."""
        self.error("query_failed", error=repr(error))

    def order_refused(self, order: str, reason: str) -> None:
        """Log that the supervisor has sent a command that this worker can't follow in its state."""
        self.error("order_refused", order=order, error=reason)

    def adoption_failed(self, reason: str) -> None:
        """Log that a tunnel of another worker could not go on."""
        self.error("adoption_failed", error=reason)

    def crash(self, error: BaseException) -> None:
        """Log why this process is about to end; on stderr before `begin`."""
        text = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
        if self._logger is not None:
            self._logger.error("worker_crash", pid=os.getpid(), error=repr(error), traceback=text)
        else:
            print(text, file=sys.stderr)  # noqa: T201 - see above
