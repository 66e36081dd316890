"""How many workers serve: they share what is limited for the whole edge."""

from __future__ import annotations

import math

import trio

from splicer.ipc.board import Board

_LOOK_INTERVAL = 1.0  # seconds between two looks at the board


class ServingWorkers:
    """The number of slots that have a worker.

    Args:
        board: the board.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._count, self._looked = 1, -math.inf

    def __call__(self) -> int:
        """The number, at least 1; it may be a second old."""
        now = trio.current_time()
        if now >= self._looked + _LOOK_INTERVAL:
            self._looked, self._count = now, max(1, len(self._board.slots))
        return self._count
