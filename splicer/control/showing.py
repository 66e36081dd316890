"""A process's numbers on the board, where the others see them."""

from __future__ import annotations

import trio
from attrs import astuple

from splicer.control.board import COUNTS, Board, Column
from splicer.control.metrics import Metrics
from splicer.relay.hub import Hub
from splicer.session.house import Counts, House
from splicer.vault.client import VaultLink

_SHOW = 0.1  # seconds between two looks of others at our numbers


class Showing:
    """Keeps a worker's row true.

    Args:
        board: the board.
        number: of the row.
        hub: has the tunnels.
        link: to the vault.
        metrics: are told how late the event loop is.
    """

    def __init__(self, board: Board, number: int, hub: Hub, link: VaultLink, metrics: Metrics) -> None:
        self._board = board
        self._number = number
        self._hub = hub
        self._link = link
        self._metrics = metrics
        self.row = board.row(number)
        self.house: House | None = None  # until there is a configuration

    async def run(self) -> None:
        """Show that the loop runs, and how things stand, until cancelled."""
        while True:
            self.row[Column.BEAT] += 1
            self.publish()
            due = trio.current_time() + _SHOW
            await trio.sleep_until(due)
            self._metrics.late(trio.current_time() - due)

    # Who asks is about to tell of our own numbers, too: these must outlive us, for no total may ever fall.
    def others(self) -> Counts:
        """The numbers of all others together."""
        self.publish()
        return Counts(*self._board.others(self._number))

    def publish(self) -> None:
        """Show how things stand now."""
        row, house, pipes = self.row, self.house, self._hub.pipes
        row[Column.TUNNELS] = self._hub.tunnels
        row[Column.PIPES_POOLED], row[Column.PIPES_PARKED] = pipes.idle, pipes.in_use
        row[Column.VAULT] = self._link.connected
        if house is not None:
            row[Column.EXCHANGES] = len(house.waiting)
            for column, count in zip(range(*COUNTS.indices(len(row))), astuple(house.counts), strict=True):
                row[column] = count
