"""Telling the discovery process what happens at endpoints: rows are collected for a moment, and sent in batches.

Nothing waits for it. While it does not read, the newest rows are kept for the next batch; while it is not there,
nothing is collected.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import trio

from splicer.ipc import wire
from splicer.ipc.endpoint_reports import EndpointReport

_INTERVAL = 0.05  # seconds between two batches
_MOST = 4096  # rows of one kind that wait; then the oldest are dropped
_ROWS = 128  # in a packet (ipc.wire)

Kind = type[EndpointReport[Any]]


class Reports:
    """The worker's end of the channel to the discovery process."""

    def __init__(self) -> None:
        self._sock: socket.socket | None = None
        self._version = wire.VERSION
        self._rows: dict[Kind, dict[object, Any]] = {}  # by kind and key, the oldest first
        self._something = trio.Event()
        self._number = 0
        self.introduced: list[Callable[[], None]] = []  # called when there is a new channel: state must be told again

    @property
    def wanted(self) -> bool:
        """Whether there is anybody to tell."""
        return self._sock is not None

    def open(self, sock: socket.socket, version: int = wire.VERSION) -> None:
        """Tell another discovery process from now on.

        Args:
            sock: the channel, non-blocking; it is owned from now on.
            version: its version of the wire.
        """
        self.close()
        self._sock, self._version = sock, version
        for tell in self.introduced:
            tell()

    def close(self) -> None:
        """Tell nobody any more."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._rows.clear()

    def say(self, kind: Kind, row: object) -> None:
        """Report an event."""
        if self._sock is not None:
            self._number += 1
            self._add(kind, self._number, row)

    def show(self, kind: Kind, key: object, row: object) -> None:
        """Report a state, which replaces the one that was reported with the same key and is not sent yet."""
        if self._sock is not None:
            self._rows.get(kind, {}).pop(key, None)
            self._add(kind, key, row)

    async def run(self) -> None:
        """Send what there is, until cancelled."""
        while True:
            await self._something.wait()
            await trio.sleep(_INTERVAL)
            self._something = trio.Event()
            self._send()

    def _add(self, kind: Kind, key: object, row: object) -> None:
        rows = self._rows.setdefault(kind, {})
        if len(rows) >= _MOST:
            del rows[next(iter(rows))]
        rows[key] = row
        self._something.set()

    def _send(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            for kind, rows in self._rows.items():
                while rows:
                    keys = list(rows)[:_ROWS]
                    wire.send(sock, kind(tuple(rows[key] for key in keys)), version=self._version)
                    for key in keys:
                        del rows[key]
        except BlockingIOError:
            self._something.set()
        except OSError:
            self.close()  # it is gone; another one is introduced
