"""What the admin process does for the supervisor: it obeys, and shows that it lives."""

from __future__ import annotations

import socket
from typing import Any

import trio

from splicer.admin.pages import pages
from splicer.admin.web import Web
from splicer.control.board import Board, Column
from splicer.control.log import Logger
from splicer.control.orders import Superior

_BEAT = 0.1  # seconds


class Admin:
    """Serves when it is told to.

    Args:
        supervisor: gives orders.
        board: where the processes show their numbers.
        row: this one's on it.
        log: the log.
    """

    def __init__(self, supervisor: Superior, board: Board, row: int, log: Logger) -> None:
        self._supervisor = supervisor
        self._row = board.row(row)
        self._facts: dict[str, Any] = {}
        self._web = Web(pages(board, self._facts), log)

    async def run(self) -> None:
        """Do what the supervisor says, until it says stop or is gone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            self._supervisor.tell("ready")
            async for words, fds in self._supervisor.orders():
                match words["do"]:
                    case "serve":
                        self._facts |= words
                        nursery.start_soon(self._web.serve, [socket.socket(fileno=fd) for fd in fds])
                        self._supervisor.tell("serving")
                    case "facts":
                        self._facts |= words
                    case "stop":
                        break
            nursery.cancel_scope.cancel()

    async def _beat(self) -> None:
        while True:
            self._row[Column.BEAT] += 1
            await trio.sleep(_BEAT)
