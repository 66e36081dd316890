"""The tls processes of a `splicer vault --tls`, which starts, renews and reaps them, as an edge's supervisor orders.

So they outlive the edge. Nothing here waits, and nothing that an edge sends can end the vault, which has the calls.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from splicer.ipc import wire
from splicer.ipc.board import Board
from splicer.ipc.codec import from_json, to_json
from splicer.ipc.message import Message
from splicer.ipc.messages import Unknown
from splicer.ipc.tls_messages import ProfileFacts, TlsSettings
from splicer.ipc.tls_table import is_tls_memory
from splicer.ipc.vault_tls import (
    AttendWorker,
    TlsProfile,
    TlsState,
    TlsTableUsed,
    TlsUsed,
    UseTls,
    VaultTlsOrder,
)
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.launch import spawn
from splicer.supervisor.process_table import ProcessTable
from splicer.supervisor.tls_processes import TlsProcesses

_TICK_INTERVAL = 1.0  # seconds between two looks at the heartbeats
_MOST_PROCESSES = 64  # as `tls_workers` allows
_MOST_BYTES = 1 << 20  # of settings
_MOST_FAULTS, _MOST_CHARACTERS = 20, 500  # of one answer, and of one fault


class VaultTls:
    """The tls processes, and the channel to the one supervisor that orders.

    Args:
        log: the log.
        selector: the loop's selector; a key's data is a callback that takes the events.
    """

    def __init__(self, log: PlainLog, selector: selectors.BaseSelector) -> None:
        self._log = log
        self._selector = selector
        self._sock: socket.socket | None = None
        self._version = wire.VERSION  # the supervisor's
        self._table: ProcessTable | None = None
        self._processes: TlsProcesses | None = None
        self._told: TlsState | None = None
        self._due = 0.0  # when to look at the heartbeats, on the monotonic clock

    def attach(self, sock: socket.socket, table: int) -> None:
        """See `vault.server.Tls`. The first supervisor's table is used for good: calls are in it."""
        self._drop()
        if self._table is None and not is_tls_memory(table):
            sock.close()
            os.close(table)
            self._log("vault_message_lost", level="error", error="this is no TLS table")
            return
        if self._table is None:
            self._begin(table)
        else:
            os.close(table)
        sock.setblocking(False)
        self._sock, self._version, self._told = sock, wire.VERSION, None
        self._selector.register(sock, selectors.EVENT_READ, partial(self._hear, sock))
        if self._table is not None and self._processes is not None:
            self._say(TlsTableUsed(), (self._table.board.tls,))
            for facts in self._processes.profiles.values():
                self._tell_profile(facts)
            self._tell()

    def tidy(self) -> None:
        """See `vault.server.Tls`."""
        if self._table is None or self._processes is None:
            return
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._table.died(*ended)
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _TICK_INTERVAL
            self._table.tick()
        self._processes.reconcile()
        self._tell()

    def _begin(self, table: int) -> None:
        self._table = ProcessTable(self._selector, Board(tls=table), self._log, spawn)
        self._processes = TlsProcesses(self._table, self._log, tuple, self._tell_profile, lambda: None)

    # ---- the supervisor ----

    def _hear(self, sock: socket.socket, _: int) -> None:
        if sock is not self._sock:  # closed earlier in this batch of events
            return
        try:
            heard = wire.receive(sock, VaultTlsOrder, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except (ValueError, OSError) as error:
            self._log("vault_tls_refused", level="error", error=str(error), understood=wire.VERSION)
            heard = None
        if heard is None:
            self._drop()
            return
        self._version = heard.version
        try:
            if heard.message is None and heard.request is not None:
                self._say(Unknown(heard.request))
            self._obey(heard.message, heard.fds)
        finally:
            for fd in heard.fds:
                os.close(fd)

    def _obey(self, order: VaultTlsOrder | None, fds: list[int]) -> None:
        processes, sock = self._processes, self._sock
        if processes is None or sock is None:
            return
        match order:
            case UseTls(request, renew):
                try:
                    settings = _settings_in(fds)
                except (ValueError, OSError) as error:
                    self._answer(sock, request, TlsSettings(), [f"the vault can't use the settings: {error}"])
                    return
                if renew:
                    processes.renew()
                processes.use(settings, partial(self._answer, sock, request, settings))
            case AttendWorker(row):
                try:
                    for fd in fds:
                        processes.attend(row, fd)
                except BlockingIOError:
                    self._drop()  # the supervisor connects again, and introduces all

    # Who asked may be dead by now, and the numbers of the next one's requests are its own.
    def _answer(self, asker: socket.socket, request: int, settings: TlsSettings, faults: Sequence[str]) -> None:
        if asker is not self._sock:
            return
        self._tell()
        told = tuple(fault[:_MOST_CHARACTERS] for fault in faults[:_MOST_FAULTS])
        text = wire.text_file(to_json(settings))
        try:
            self._say(TlsUsed(request, told), (text,))
        finally:
            os.close(text)

    def _tell_profile(self, facts: ProfileFacts) -> None:
        self._say(TlsProfile(facts))

    # In each turn of `tidy`, and not at each change: many that change at once would fill the channel.
    def _tell(self) -> None:
        if self._processes is None or self._sock is None:
            return
        state = TlsState(self._processes.facts, self._processes.restarts)
        if state != self._told:
            self._told = state
            self._say(state)

    # Who doesn't read is disconnected: it connects again, and is told everything that is the case by then.
    def _say(self, report: Message, fds: tuple[int, ...] = ()) -> None:
        if self._sock is not None:
            try:
                wire.send(self._sock, report, fds, self._version)
            except wire.TooLong as error:
                self._log("vault_message_lost", level="error", error=str(error))
            except OSError:
                self._drop()

    def _drop(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._selector.unregister(sock)
            sock.close()


# A read of a file that is no shared memory might never end.
def _settings_in(fds: list[int]) -> TlsSettings:
    if len(fds) != 1:
        raise ValueError("no descriptor was left for them")
    fcntl.fcntl(fds[0], fcntl.F_GET_SEALS)
    if os.fstat(fds[0]).st_size > _MOST_BYTES:
        raise ValueError(f"they are longer than {_MOST_BYTES} bytes")
    settings = from_json(TlsSettings, wire.read_text(os.dup(fds[0])))
    if not 0 <= settings.processes <= _MOST_PROCESSES:
        raise ValueError(f"{settings.processes} tls processes; {_MOST_PROCESSES} are the most")
    return settings
