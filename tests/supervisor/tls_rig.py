"""A `splicer vault --tls` and an edge's supervisor in one process, with tls processes that nobody has started."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from splicer.ipc import wire
from splicer.ipc.board import Board
from splicer.ipc.message import Message
from splicer.ipc.tls_messages import ConfigureTls, TlsConfigured, TlsOrder, TlsReady
from splicer.supervisor import vault_tls
from splicer.supervisor.process_table import ProcessTable
from splicer.supervisor.processes import Process
from splicer.supervisor.remote_tls import RemoteTls
from splicer.supervisor.vault_tls import VaultTls
from splicer.supervisor.vaults import OwnVault
from splicer.vault.protocol import channel
from tests.supervisor.harness import KILLED, Said

_NOBODY = 1 << 22  # above the highest pid that Linux gives


class FarTls:
    """The far end of a tls process's channel."""

    def __init__(self, pid: int, sock: socket.socket, row: int) -> None:
        self.pid = pid
        self.sock = sock
        self.row = row
        self.heard: list[Message] = []
        self.fds: list[int] = []
        self.say(TlsReady())

    def say(self, report: Message) -> None:
        wire.send(self.sock, report)

    def read(self) -> None:
        """Take in what it was told."""
        while True:
            try:
                received = wire.receive(self.sock, TlsOrder)
            except BlockingIOError:
                return
            if received is None or received.message is None:
                return
            self.heard.append(received.message)
            self.fds += received.fds

    def configure(self, *faults: str) -> None:
        """Answer its newest settings."""
        self.read()
        newest = [order for order in self.heard if isinstance(order, ConfigureTls)][-1]
        self.say(TlsConfigured(newest.request, faults))


class TheVault(OwnVault):
    """What the supervisor sees of the vault."""

    path = "/run/vault.sock"  # type: ignore[assignment]
    has_tls: bool | None = True  # type: ignore[assignment]

    def __init__(self, rig: TlsRig) -> None:
        self._rig = rig

    def open_tls(self, table: int) -> socket.socket | None:
        if self._rig.vault is None:
            return None
        ours, its = channel()
        self._rig.vault.attach(its, os.dup(table))
        self._rig.socks += [ours, its]
        return ours


class TlsRig:
    """Both, and the loop."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.socks: list[socket.socket] = []  # to be closed at the end
        self.said, self.edge_said = Said(), Said()
        self.all: list[FarTls] = []
        self.changes = 0
        self.vault: VaultTls | None = VaultTls(self.said, self.selector)
        self.workers: list[Process] = []
        self.boards: list[Board] = []
        self.tls = self.edge()

    def spawn(self, _: str, arguments: Any, __: Sequence[int]) -> int:
        sock = socket.socket(fileno=os.dup(arguments.place.control))
        sock.setblocking(False)
        self.all.append(FarTls(_NOBODY + len(self.all), sock, arguments.place.row))
        return self.all[-1].pid

    def edge(self) -> RemoteTls:
        """A new supervisor's side, with a board of its own."""
        self.board = Board()
        self.boards.append(self.board)
        self.table = ProcessTable(self.selector, self.board, self.edge_said, self.spawn)
        tls = RemoteTls(
            TheVault(self),
            self.table,
            self.selector,
            self.edge_said,
            lambda: self.workers,
            lambda _: None,
            lambda: None,
        )
        tls.begin()
        return tls

    def worker(self) -> socket.socket:
        """A worker's end of its channel."""
        ours, its = channel()
        worker = Process(len(self.workers) + 1, len(self.workers) + 1, ours)
        self.workers.append(worker)
        self.table.all[worker.pid] = worker
        return its

    def turn(self) -> None:
        """As both loops do it, until there is nothing more to do."""
        for _ in range(50):
            if self.vault is not None:
                self.vault.tidy()
            self.tls.reconcile()
            events = self.selector.select(0)
            if not events:
                return
            for key, mask in events:
                key.data(mask)
        raise AssertionError("it doesn't come to rest")

    def serve(self) -> None:
        """All processes that were started take their settings."""
        self.turn()
        for far in [far for far in self.all if far.sock.fileno() >= 0]:
            far.read()
            if any(isinstance(order, ConfigureTls) for order in far.heard):
                far.configure()
        self.turn()

    def die(self, far: FarTls) -> None:
        """A tls process ends."""
        far.sock.close()
        assert self.vault is not None
        assert self.vault._table is not None  # it has no children of its own here
        self.vault._table.died(far.pid, KILLED)
        self.turn()

    def close(self) -> None:
        for far in self.all:
            far.sock.close()
            for fd in far.fds:
                os.close(fd)
        for worker in self.workers:
            worker.sock.close()
        for sock in self.socks:
            sock.close()
        if self.vault is not None and self.vault._table is not None:
            for process in self.vault._table.all.values():
                process.sock.close()
            self.vault._table.board.close()
        for board in self.boards:
            board.close()
        self.selector.close()


@contextmanager
def tls_rig() -> Iterator[TlsRig]:
    with pytest.MonkeyPatch.context() as patches:
        rigs: list[TlsRig] = []
        patches.setattr(vault_tls, "spawn", lambda *arguments: rigs[0].spawn(*arguments))
        rigs.append(TlsRig())
        try:
            yield rigs[0]
        finally:
            rigs[0].close()
