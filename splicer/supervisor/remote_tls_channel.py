"""The supervisor's channel to a `splicer vault --tls`, which may end and come back."""

from __future__ import annotations

import os
import select
import selectors
import socket
import time
from collections.abc import Callable

from splicer.ipc import wire
from splicer.ipc.board import Board
from splicer.ipc.message import Message
from splicer.ipc.vault_tls import TlsTableUsed, VaultTlsReport
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.vaults import Vault

_TABLE_TIMEOUT = 5.0  # seconds at the start for the vault's TLS table
_CONNECT_INTERVAL = 0.5  # seconds between two attempts to reach the vault
_UNFIT_INTERVAL = 60.0  # the same while the vault's table is another edge's


class RemoteTlsChannel:
    """Is open when both sides have the same TLS table.

    Args:
        vault: has the tls processes.
        board: has the TLS table.
        selector: the loop's selector.
        log: the log.
        opened: called when it has been opened.
        heard: called with each report and its descriptors, which are closed afterwards.
        lost: called when it is open no longer.
    """

    def __init__(
        self,
        vault: Vault,
        board: Board,
        selector: selectors.BaseSelector,
        log: PlainLog,
        opened: Callable[[], None],
        heard: Callable[[VaultTlsReport, list[int]], None],
        lost: Callable[[], None],
    ) -> None:
        self._vault = vault
        self._board = board
        self._selector = selector
        self._log = log
        self._opened = opened
        self._heard = heard
        self._lost = lost
        self._sock: socket.socket | None = None
        self._next_try = 0.0  # on the monotonic clock
        self._complained = False
        self._has_begun = False  # processes may have mapped the table
        self.is_open = False

    def begin(self) -> None:
        """Reach the vault before any process is started: then its table can be used, and the calls in it are known."""
        self._connect()
        late = time.monotonic() + _TABLE_TIMEOUT
        poll = select.poll()
        if (sock := self._sock) is not None:
            poll.register(sock, select.POLLIN)
            while sock is self._sock and not self.is_open and poll.poll(max(0.0, late - time.monotonic()) * 1000):
                self._hear(sock)
        self._has_begun = True

    def reach(self) -> None:
        """Reach a vault that was away; call this in each turn of the loop."""
        if self._sock is None and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + _CONNECT_INTERVAL
            self._connect()

    def send(self, order: Message, fds: tuple[int, ...]) -> bool:
        """Send an order without waiting; False: it was not sent."""
        if self._sock is None:
            return False
        try:
            wire.send(self._sock, order, fds)
        except BlockingIOError:
            return False
        except OSError as error:
            self.lose(str(error))
            return False
        return True

    def lose(self, reason: str) -> None:
        """Close it; another one is opened later."""
        sock, self._sock, self.is_open = self._sock, None, False
        if sock is not None:
            self._selector.unregister(sock)
            sock.close()
        self._complain(reason)
        self._lost()

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._complained = True
            self._log("vault_tls_lost", level="error", socket=self._vault.path, reason=reason)

    def _connect(self) -> None:
        if self._vault.has_tls is False:
            self._complain("it was started without --tls")
        if not self._vault.has_tls:
            return
        self._sock = sock = self._vault.open_tls(self._board.tls)
        if sock is not None:
            self._selector.register(sock, selectors.EVENT_READ, lambda _: self._hear(sock))

    def _hear(self, sock: socket.socket) -> None:
        if sock is not self._sock:  # closed earlier in this batch of events
            return
        try:
            received = wire.receive(sock, VaultTlsReport)
        except BlockingIOError:
            return
        except (ValueError, OSError) as error:
            self.lose(str(error))
            return
        if received is None:
            self.lose("it has ended, or closed the channel")
            return
        try:
            if isinstance(received.message, TlsTableUsed) and received.fds:
                self._take_table(received.fds[0])
            elif received.message is not None:
                self._heard(received.message, received.fds)
        finally:
            for fd in received.fds:
                os.close(fd)

    def _take_table(self, fd: int) -> None:
        if not os.path.samestat(os.fstat(fd), os.fstat(self._board.tls)):
            if self._has_begun:
                self._next_try = time.monotonic() + _UNFIT_INTERVAL
                self.lose("its tls processes have the TLS table of another edge: start this edge again")
                return
            self._board.replace_tls(os.dup(fd))
        self.is_open = True
        self._complained = False
        self._log("vault_tls_connected", socket=self._vault.path)
        self._opened()
