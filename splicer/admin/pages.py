"""What there is to read, by path."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from splicer import __version__
from splicer.control.board import ROWS, Board, Column
from splicer.model import Header, Respond

_PLACES = (Column.READING, Column.WRITING, Column.WAITING)  # every open connection stands in one of these

Page = Callable[[], Respond]


def in_json(value: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Respond:
    """An answer in JSON."""
    return Respond(status, json.dumps(value).encode() + b"\n", "application/json", headers)


def pages(board: Board, own: int, facts: Mapping[str, Any]) -> Mapping[str, Page]:
    """All pages by their paths.

    Args:
        board: where the processes show their numbers.
        own: the admin process's row on it.
        facts: what the supervisor has said last: `generation` of the configuration, whether it is `draining`, and when
            it was `started` (monotonic clock, seconds). The pages look into it whenever they are asked.
    """
    return {
        "/healthz": lambda: Respond(200, b"ok\n"),
        "/status": lambda: in_json(_status(board, own, facts)),
    }


def _status(board: Board, own: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": __version__,
        "generation": facts["generation"],
        "uptime_s": round(time.monotonic() - facts["started"], 3),
        "draining": facts["draining"],
        "workers": list(_workers(board, own)),
        "totals": {
            "accepted": board.total(Column.ACCEPTED),
            "handled": board.total(Column.HANDLED),
            "requests": board.total(Column.REQUESTS),
            "active": sum(board.total(place) for place in _PLACES),
            "tunnels": board.total(Column.TUNNELS),
        },
    }


# Row 0 is of the dead, and who has a row but no beat has not begun to live.
def _workers(board: Board, own: int) -> Iterator[dict[str, int]]:
    for number in range(1, ROWS):
        row = board.row(number)
        if number != own and row[Column.BEAT]:
            yield {
                "row": number,
                "tunnels": row[Column.TUNNELS],
                "exchanges": row[Column.EXCHANGES],
                "connections": sum(row[place] for place in _PLACES),
            }
