"""Which client connections may come in: `limits.connections` at once, all workers together."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from splicer.ipc.board import Board, Column
from splicer.session.context import SessionContext

_ABOVE = 64  # connections over the limit, which may ask for what needs no pod
_INTERVAL = 0.1  # seconds between two looks at whether others need the places of connections that are idle here
_CACHE_SECONDS = 0.01  # seconds that a look at the others' numbers will do for
_NEAR_LIMIT = 64  # connections, or a sixteenth of the limit: nearer to it, each look is a new one
_LOG_INTERVAL = 10.0  # seconds between two lines about connections that made room


class Admission:
    """Lets clients in.

    At the limit the longest idle connection makes room for a request that goes to a pod: at once if it is this
    worker's, within `_INTERVAL` if it is another one's. `_ABOVE` more are let in, for whether a request needs a pod is
    known when it has been read, and health checks must be answered whatever the limit.

    Args:
        board: where the workers show their numbers.
        number: this one's row.
        told: how many idle connections have made room since it was told last.
    """

    def __init__(self, board: Board, number: int, told: Callable[[int], None]) -> None:
        self._board = board
        self._number = number
        self._told = told
        self.context: SessionContext | None = None  # until there is a configuration
        self._elsewhere = self._idle_elsewhere = 0  # client connections of all others
        self._looked = -math.inf  # when these were looked at

    @property
    def _rooms(self) -> SessionContext:
        assert self.context is not None  # noqa: S101 - there is no connection before the configuration
        return self.context

    def over(self) -> int:
        """By how many the connections that are open, those of all workers together, exceed the limit."""
        limit, own, now = self._rooms.rules.limits.connections, self._rooms.counts.active, trio.current_time()
        # Sums over all rows take longer than the rest of an accept does, and are a little old anyway.
        if now >= self._looked + _CACHE_SECONDS or own + self._elsewhere + max(_NEAR_LIMIT, limit // 16) >= limit:
            self._looked, self._elsewhere = now, self._board.active(self._number)
            self._idle_elsewhere = self._board.total(Column.WAITING) - self._board.row(self._number)[Column.WAITING]
        return own + self._elsewhere - limit

    def may_ask(self) -> bool:
        """Whether a connection that is about to be counted may ask for something."""
        return self.over() < _ABOVE or self._rooms.idle.make_room()

    def may_use_pod(self) -> bool:
        """Whether a connection that came in over the limit, and is counted, may be served by a pod."""
        over = self.over()
        return over <= 0 or self._rooms.idle.make_room() or over <= self._idle_elsewhere

    async def run(self) -> None:
        """Have idle connections make room for those that other workers have let in, until cancelled."""
        told, quiet = 0, -math.inf
        while True:
            await trio.sleep(_INTERVAL)
            if self.context is None:
                continue
            idle, over = self.context.idle, self.over()
            if over > 0 and len(idle):
                share = math.ceil(over * len(idle) / (len(idle) + self._idle_elsewhere))
                for _ in range(min(share, _ABOVE)):  # a limit that was lowered is reached in time
                    idle.make_room()
            now = trio.current_time()
            if idle.ended > told and now >= quiet:
                self._told(idle.ended - told)
                told, quiet = idle.ended, now + _LOG_INTERVAL
