"""What each worker does, by the board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from splicer.admin.workers import Workers
from splicer.ipc.board import ROWS, Board, Column

_PLACES = (Column.READING, Column.WRITING, Column.WAITING)  # every open connection stands in one of these


def worker_rows(board: Board, workers: Workers) -> list[dict[str, Any]]:
    """The workers, by slot; while one hands over to another, a slot has two."""
    return sorted(_rows(board, workers), key=lambda worker: worker["slot"])


# The spare and this process have a row too, but no slot. While a slot has two processes, their rows don't have the
# pids, nor the mover if it isn't the same.
def _rows(board: Board, workers: Workers) -> Iterator[dict[str, Any]]:
    pids, movers = workers.pids, workers.movers
    rows = [row for row in map(board.row, range(1, ROWS)) if row[Column.SLOT]]
    of_slot = Counter(row[Column.SLOT] for row in rows)
    for row in rows:
        slot = row[Column.SLOT]
        known = pids.get(slot, [])
        pid: dict[str, Any] = {"pid": known[0]} if of_slot[slot] == len(known) == 1 else {}
        moved_by = [mover for its, mover in movers if its == slot]
        mover: dict[str, Any] = {"mover": moved_by[0]} if len(moved_by) == 1 else {}
        yield {
            "slot": slot,
            **pid,
            "tunnels": row[Column.TUNNELS],
            "exchanges": row[Column.EXCHANGES],
            "connections": sum(row[place] for place in _PLACES),
            **mover,
        }
