"""The log's lines about hooks that fail or block; a hook that does so for each request does not fill the log."""

from __future__ import annotations

import math

import trio

from splicer.hook_settings import HookOutcome
from splicer.observe.log import Logger
from splicer.observer import Observer
from splicer.record import Record

_LOG_INTERVAL = 10.0  # seconds
_MOST_FAILURES = 10  # lines about one hook in an interval


class HookLog(Observer):
    """The session's observer that logs what is wrong with hooks.

    Args:
        log: the logger for the lines.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._failures: dict[str, tuple[float, int]] = {}
        self._blocks: dict[str, float] = {}

    def hook_called(self, record: Record, hook: str, outcome: HookOutcome, seconds: float, reason: str | None) -> None:
        """See `Observer`."""
        if reason is None:
            return
        since, count = self._failures.get(hook, (-math.inf, 0))
        now = trio.current_time()
        if now - since >= _LOG_INTERVAL:
            since, count = now, 0
        self._failures[hook] = since, count + 1
        if count < _MOST_FAILURES:
            self._log.error("hook_failed", hook=hook, id=record.id, route=record.route, outcome=outcome, error=reason)

    def hook_blocked(self, hook: str, seconds: float) -> None:
        """See `Observer`."""
        now = trio.current_time()
        if now - self._blocks.get(hook, -math.inf) >= _LOG_INTERVAL:
            self._blocks[hook] = now
            self._log.warning("hook_blocks", hook=hook, ms=round(seconds * 1000, 3))
