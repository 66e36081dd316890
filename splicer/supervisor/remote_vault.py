"""A `splicer vault` in another process, for the supervisor."""

from __future__ import annotations

import json
import os
import select
import selectors
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from splicer.ipc.arguments import VaultConnection
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.listeners import Listeners, fds_of
from splicer.supervisor.vaults import ROUNDS
from splicer.vault.handover import HolderState
from splicer.vault.holder import TICK
from splicer.vault.protocol import HAS_TLS, Kind, Message, ProtocolError, channel, keys, pack, receive, send

_COUNT_INTERVAL = 0.1  # seconds between two questions for the count
_ANSWER_TIMEOUT = 2.0  # seconds for an answer of the vault
_FIRST_ANSWER_TIMEOUT = 5.0  # seconds for the first one, which says where the tls processes are
_RETURN_TIMEOUT = 1.0  # seconds in which workers register their calls with a vault that comes back
_HUNG_TIMEOUT = 10.0  # seconds without an answer after which a drain no longer waits for the vault


class RemoteVault:
    """A `splicer vault`, which may end and come back.

    Args:
        path: the path of its socket.
        selector: the loop's selector.
        log: the log.
    """

    def __init__(self, path: Path, selector: selectors.BaseSelector, log: PlainLog) -> None:
        self.path = str(path)
        self._path = path
        self._selector = selector
        self._log = log
        self._sock: socket.socket | None = None
        self._kept: Mapping[str, Listeners] = {}
        self._count = 0
        self.orphaned_slots: Sequence[int] = ()  # from the newest answer
        self._asked = False
        self._asked_at = 0.0
        self._answers = 0  # the number of answers since the last `invalidate_count`
        self._doubted = time.monotonic()
        self.refusal: str | None = None
        self.has_tls: bool | None = None
        self._reach()
        if self._sock is None:
            log("vault_lost", level="error", socket=str(path), role="supervisor")

    @property
    def why_not_durable(self) -> str | None:
        """See `Vault`."""
        if self._sock is None:
            return f"the vault at {self.path} is away"
        if self._asked and time.monotonic() - self._asked_at > _ANSWER_TIMEOUT:
            return f"the vault at {self.path} does not answer"
        return None

    @property
    def tunnels(self) -> int:
        """See `Vault`: the number in the newest answer; each call may send another question."""
        now = time.monotonic()
        if self._sock is not None and not self._asked and now - self._asked_at > _COUNT_INTERVAL:
            self._asked, self._asked_at = True, now
            self._send(pack(Kind.COUNT))
        return self._count

    def invalidate_count(self) -> None:
        """See `Vault`."""
        self._answers, self._doubted = 0, time.monotonic()

    def confirm_empty(self) -> bool:
        """See `Vault`. A vault that stays away, or has not answered for long, counts as empty."""
        if self.tunnels:
            return False
        if self._sock is not None and self._answers > ROUNDS:
            return True
        return time.monotonic() - self._doubted > (_RETURN_TIMEOUT if self._sock is None else _HUNG_TIMEOUT)

    def vault_connection(self) -> tuple[VaultConnection, list[int]]:
        """See `Vault`: workers connect and reconnect to its socket themselves."""
        return VaultConnection(path=str(self._path)), []

    @property
    def tidy_interval(self) -> float:
        """See `Vault`."""
        return TICK

    def tidy(self) -> None:
        """See `Vault`."""
        if self._sock is None:
            self._reach()
            if self._sock is not None:
                self._log("vault_connected", socket=str(self._path), role="supervisor")
                self.keep(self._kept)

    def rest(self) -> None:
        """See `Vault`: it rests itself."""

    def await_answer(self) -> None:
        """Wait until it has said what it is; if it is away or doesn't answer in time, nothing is known."""
        late = time.monotonic() + _FIRST_ANSWER_TIMEOUT
        self._send(pack(Kind.COUNT))
        while self._sock is not None and self.has_tls is None and self._is_readable(self._sock, late):
            self._listen(0)

    def open_tls(self, table: int) -> socket.socket | None:
        """See `Vault`."""
        if self._sock is None:
            return None
        try:
            ours, its = channel()
        except OSError:
            return None
        with its:
            try:
                send(self._sock, pack(Kind.TLS), (its.fileno(), table))
            except OSError:
                ours.close()
                return None
        return ours

    def recover(self, listeners: Mapping[str, Listeners]) -> None:
        """See `Vault`. If the vault doesn't answer in time, it counts as having none."""
        if self._sock is None:
            return
        self._send(pack(Kind.ASK))
        late = time.monotonic() + _ANSWER_TIMEOUT
        with suppress(OSError, ProtocolError, ValueError):
            while self._sock is not None and self._is_readable(self._sock, late):
                message = receive(self._sock)
                if message is None:
                    return
                if message.kind == Kind.LISTENERS:
                    for (name, host, port), fd in zip(json.loads(message.payload), message.fds, strict=True):
                        if name in listeners:
                            listeners[name].sockets[host, port] = socket.socket(fileno=fd)
                        else:  # of a listener that this program doesn't know
                            os.close(fd)
                    return
                self._on_message(message)

    def _is_readable(self, sock: socket.socket, late: float) -> bool:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(max(0.0, late - time.monotonic()) * 1000))

    def keep(self, listeners: Mapping[str, Listeners]) -> None:
        """See `Vault`."""
        self._kept = listeners
        places = [(name, *address) for name, each in listeners.items() for address in each.sockets]
        self._send(pack(Kind.LISTENERS, payload=json.dumps(places).encode()), fds_of(listeners))

    def state(self) -> tuple[HolderState | None, list[int]]:
        """See `Vault`: another process has the state."""
        return None, []

    def _reach(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        try:
            sock.connect(str(self._path))
        except OSError:
            sock.close()
            return
        self._sock = sock
        self._asked, self._answers = False, 0
        self._selector.register(sock, selectors.EVENT_READ, self._listen)

    def _send(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        if self._sock is not None:
            with suppress(OSError):  # the loop reads the end of the channel
                send(self._sock, data, fds)

    def _listen(self, _: int) -> None:
        while self._sock is not None:
            try:
                message = receive(self._sock)
            except BlockingIOError:
                return
            except (OSError, ProtocolError):
                message = None
            if message is None:
                self._lost("vault_lost")
            else:
                self._on_message(message)

    def _on_message(self, message: Message) -> None:
        message.close()
        if message.kind == Kind.COUNT and message.understood:
            self._count, self._asked = message.quantity, False
            self.has_tls = bool(message.flags & HAS_TLS)
            self.orphaned_slots = keys(message.payload)
            self._answers += 1
        elif message.kind == Kind.REFUSED or not message.understood:
            if message.flags:
                self.refusal = f"another splicer run uses the vault at {self.path}"
            self._lost("vault_refused")

    def _lost(self, event: str) -> None:
        if self._sock is not None:
            self._selector.unregister(self._sock)
            self._sock.close()
            self._sock, self._count, self.orphaned_slots, self.has_tls = None, 0, (), None
            self._log(event, level="error", socket=str(self._path), role="supervisor")
