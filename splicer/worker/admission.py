"""Admission of client connections: `limits.connections` at once, over all workers."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from splicer.ipc.board import Board, Column
from splicer.session.context import SessionContext

_ABOVE = 64  # connections over the limit, for requests that need no pod
_CACHE_SECONDS = 0.01  # seconds for which the other workers' numbers are reused
_NEAR_LIMIT = 64  # connections, or a sixteenth of the limit: nearer to the limit, the numbers are read each time
_LOG_INTERVAL = 10.0  # seconds between two lines about connections that made room


class Admission:
    """Decides which client connections may come in.

    At the limit the longest idle connection makes room for a request that goes to a pod: at once if it is this
    worker's, within a tenth of a second if it is another one's. `_ABOVE` more connections are let in, because only a
    request that was read shows whether it needs a pod, and health checks must be answered whatever the limit.

    Args:
        board: has the numbers of all workers.
        number: this worker's row.
        told: called with the number of idle connections that have made room since the last call.
    """

    def __init__(self, board: Board, number: int, told: Callable[[int], None]) -> None:
        self._board = board
        self._number = number
        self._told = told
        self.context: SessionContext | None = None  # until there is a configuration
        self._elsewhere = self._idle_elsewhere = 0  # client connections of all other workers
        self._looked = -math.inf  # when these were read
        self._ended_before, self._quiet_until = 0, -math.inf  # of the last line about connections that made room

    @property
    def _rooms(self) -> SessionContext:
        assert self.context is not None  # noqa: S101 - there is no connection before the configuration
        return self.context

    def over(self) -> int:
        """The number of open connections of all workers minus the limit."""
        limit, own, now = self._rooms.rules.limits.connections, self._rooms.counts.active, trio.current_time()
        # Sums over all rows take longer than the rest of an accept, and are slightly out of date anyway.
        if now >= self._looked + _CACHE_SECONDS or own + self._elsewhere + max(_NEAR_LIMIT, limit // 16) >= limit:
            self._looked, self._elsewhere = now, self._board.active(self._number)
            self._idle_elsewhere = self._board.total(Column.WAITING) - self._board.row(self._number)[Column.WAITING]
        return own + self._elsewhere - limit

    def may_ask(self, over: int | None = None) -> bool:
        """Whether a new connection, not counted yet, may send a request; `over` if that was just asked for."""
        return (self.over() if over is None else over) < _ABOVE or self._rooms.idle.make_room()

    def may_use_pod(self) -> bool:
        """Whether a request on a connection that came in over the limit, and is counted, may go to a pod."""
        over = self.over()
        return over <= 0 or self._rooms.idle.make_room() or over <= self._idle_elsewhere

    def share_room(self) -> None:
        """Close idle connections to make room for those that other workers have let in; called regularly."""
        idle = self._rooms.idle
        if len(idle) and (over := self.over()) > 0:
            share = math.ceil(over * len(idle) / (len(idle) + self._idle_elsewhere))
            for _ in range(min(share, _ABOVE)):  # a limit that was lowered is reached in time
                idle.make_room()
        if idle.ended > self._ended_before and (now := trio.current_time()) >= self._quiet_until:
            self._told(idle.ended - self._ended_before)
            self._ended_before, self._quiet_until = idle.ended, now + _LOG_INTERVAL
