"""Publishing a worker's numbers on the board, where the other processes read them."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import trio

from splicer.ipc.board import Board, Column
from splicer.observe.metrics import Metrics
from splicer.record import Record
from splicer.relay.api import Relay
from splicer.session.context import SessionContext, StubStatus
from splicer.worker.vault_link import VaultLink

_INTERVAL = 0.1  # seconds between two updates of our row …
_CALM_INTERVAL = 1.0  # … and while nothing changes but the heartbeat: a spare is always calm
_CACHE_SECONDS = 0.01  # seconds for which the other workers' numbers are reused
_WORD_BYTES = 8
_COUNTS = struct.Struct("@8q")  # the columns TUNNELS to WAITING; "@": each word is written whole
_MORE = 8  # a worker has enough with an eighth, plus one, more connections than the workers' mean


class BoardPublisher:
    """Keeps a worker's row up to date.

    Args:
        board: the board.
        number: the row's number.
        relay: the relay, which has the tunnels.
        link: the link to the vault.
        metrics: records the lag of the event loop.
    """

    def __init__(self, board: Board, number: int, relay: Relay[Record], link: VaultLink, metrics: Metrics) -> None:
        self._board = board
        self._number = number
        self._relay = relay
        self._link = link
        self._metrics = metrics
        self.row = board.row(number)
        self._bytes = self.row.cast("B")
        self.context: SessionContext | None = None  # until there is a configuration
        self._then: tuple[Callable[[], None], ...] = ()  # a spare has none
        self._calm = False
        self._pause = trio.CancelScope()
        self._others = self._elsewhere = 0  # the other workers that accept, and their client connections
        self._compared = -math.inf  # when these were read

    async def run(self) -> None:
        """Update the row until cancelled."""
        seen = b""
        while True:
            self.publish()
            for call in self._then:
                call()
            before, seen = seen, bytes(self._bytes[_WORD_BYTES:])  # without the heartbeat
            self._calm = not self._then or (seen == before and not self._is_asked())
            with trio.move_on_after(_CALM_INTERVAL if self._calm else _INTERVAL) as self._pause:
                await trio.sleep_forever()
            if (due := self._pause.deadline) > -math.inf:
                self._metrics.late(max(0.0, trio.current_time() - due))

    # An update takes as much time from the calls as some thirty of their frames.
    def publish_soon(self) -> None:
        """Update the row within `_INTERVAL`: a connection comes, goes, or changes its state."""
        if self._calm and self._then:
            self._calm = False
            self._pause.deadline = min(self._pause.deadline, trio.current_time() + _INTERVAL)

    def serve(self, *then: Callable[[], None]) -> None:
        """Publish more often from now on.

        Args:
            then: called after each regular update. A task for each of them would cost as much as the update.
        """
        self._then = then
        self._pause.deadline = -math.inf  # the calls of the slot may be here at once

    # Whether those that are called after each update have regular work: who waits may leave, and who is idle may have
    # to make room for a connection of another worker.
    def _is_asked(self) -> bool:
        context = self.context
        return context is not None and bool(len(context.idle) or context.waiting)

    # The caller is about to report our own numbers too. They are published first, because no total may ever fall, even
    # if this process dies next.
    def others(self) -> StubStatus:
        """The sums of the numbers of all other processes."""
        self.publish()
        return StubStatus(*self._board.others(self._number))

    def has_enough(self) -> bool:
        """Whether the next client connection should rather go to another worker that accepts."""
        assert self.context is not None  # noqa: S101 - there is no connection before the configuration
        own, now = self.context.counts.active, trio.current_time()
        if now >= self._compared + _CACHE_SECONDS:
            others = self._board.accepting(self._number)
            self._compared, self._others, self._elsewhere = now, len(others), sum(others)
        mean = (own + self._elsewhere) / (1 + self._others)
        return own > 1 + mean + mean / _MORE

    def publish(self) -> None:
        """Update the row now."""
        row, context, pipes = self.row, self.context, self._relay.pipes
        row[Column.PIPES_POOLED], row[Column.PIPES_PARKED] = pipes.idle, pipes.in_use
        row[Column.VAULT] = self._link.connected
        if context is None:
            row[Column.TUNNELS] = self._relay.tunnels
        else:
            row[Column.IDLE] = context.counts.waiting - context.lingering
            self.publish_counts()

    def publish_counts(self) -> None:
        """Update what changes with each connection, in one write; as soon as there is a configuration."""
        context = self.context
        assert context is not None  # noqa: S101 - there is no connection before the configuration
        counts = context.counts
        _COUNTS.pack_into(
            self._bytes,
            Column.TUNNELS * _WORD_BYTES,
            self._relay.tunnels,
            len(context.waiting),
            counts.accepted,
            counts.handled,
            counts.requests,
            counts.reading,
            counts.writing,
            counts.waiting,
        )
