"""What there is to read, by path."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from splicer import __version__
from splicer.control.board import ROWS, Board, Column
from splicer.model import Header, Respond

_PLACES = (Column.READING, Column.WRITING, Column.WAITING)  # every open connection stands in one of these

Page = Callable[[], Respond]


def in_json(value: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Respond:
    """An answer in JSON."""
    return Respond(status, json.dumps(value).encode() + b"\n", "application/json", headers)


def pages(board: Board, facts: Mapping[str, Any]) -> Mapping[str, Page]:
    """All pages by their paths.

    Args:
        board: where the processes show their numbers.
        facts: what the supervisor has said last: the configuration's `generation`, whether it is `draining`. The pages
            look into it whenever they are asked.
    """
    started = _start_of(os.getppid())
    return {
        "/healthz": lambda: Respond(200, b"ok\n"),
        "/status": lambda: in_json(_status(board, facts, started)),
    }


# The edge is as old as the supervisor's process: neither an upgrade nor another admin process makes it younger.
def _start_of(pid: int) -> float:
    """When a process was started, in seconds since the machine was (proc_pid_stat(5), field 22)."""
    _, _, after_its_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    return int(after_its_name.split()[22 - 3]) / os.sysconf("SC_CLK_TCK")


def _status(board: Board, facts: Mapping[str, Any], started: float) -> dict[str, Any]:
    return {
        "version": __version__,
        "generation": facts["generation"],
        "uptime_s": round(time.clock_gettime(time.CLOCK_BOOTTIME) - started, 3),
        "draining": facts["draining"],
        "workers": sorted(_workers(board), key=lambda worker: worker["slot"]),
        "totals": {
            "accepted": board.total(Column.ACCEPTED),
            "handled": board.total(Column.HANDLED),
            "requests": board.total(Column.REQUESTS),
            "active": sum(board.total(place) for place in _PLACES),
            "tunnels": board.total(Column.TUNNELS),
        },
    }


# The spare and this process have a row, too, but no slot.
def _workers(board: Board) -> Iterator[dict[str, int]]:
    for number in range(1, ROWS):
        row = board.row(number)
        if row[Column.SLOT]:
            yield {
                "slot": row[Column.SLOT],
                "tunnels": row[Column.TUNNELS],
                "exchanges": row[Column.EXCHANGES],
                "connections": sum(row[place] for place in _PLACES),
            }
