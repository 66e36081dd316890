"""A worker's channel to the vault: it connects, receives messages, and reconnects after the vault was away."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from splicer.vault import protocol
from splicer.vault.protocol import Kind, Message, ProtocolError
from splicer.worker.vault_outbox import Outbox, Packet, nothing

_RECONNECT_INTERVAL = 0.25  # seconds between two attempts to reach a vault that is away
_BURST = 16  # messages in a row before other tasks have their turn

Task = Callable[[], Awaitable[object]]


class VersionError(Exception):
    """The vault uses a protocol version that this program doesn't support, and may have given it tunnels."""


class VaultChannel:
    """The current connection to the vault, or none.

    Args:
        sock: a connection to the vault, or None.
        path: the path of its socket if it is a process of its own, which may come back; None: it doesn't come back.
        greet: posts the first messages on a new connection, before all others.
        heard: called with each message except REFUSED.
        ended: called when a connection is over and `outbox` is None.
        told: called with "vault_connected", "vault_lost" or "vault_refused".
        version: the vault's protocol version.
    """

    def __init__(
        self,
        sock: socket.socket | None,
        path: Path | None,
        *,
        greet: Callable[[Outbox], None],
        heard: Callable[[Message], None],
        ended: Callable[[], None],
        told: Callable[[str], None],
        version: int = protocol.VERSION,
    ) -> None:
        self.outbox: Outbox | None = None
        self._first = sock
        self._path = path
        self._greet = greet
        self._heard = heard
        self._ended = ended
        self._told = told
        self._version = version

    @property
    def comes_back(self) -> bool:
        """Whether this reconnects to a vault that was away."""
        return self._path is not None

    @property
    def connected(self) -> bool:
        """Whether the vault is connected and takes messages."""
        return self.outbox is not None and not self.outbox.away

    @property
    def stalled(self) -> bool:
        """Whether the vault is connected but takes no messages."""
        return self.outbox is not None and self.outbox.away

    def post(self, packet: Packet, told: Callable[[], None] = nothing) -> None:
        """Send a message as soon as possible.

        Args:
            packet: the message.
            told: called when it was sent, or the vault counts as away, or there is none.
        """
        if self.outbox is None:
            told()
        else:
            self.outbox.post(lambda: packet, told)

    async def run(self, *tasks: Task) -> None:
        """Receive messages, and reconnect to a vault that was away; until cancelled, or the vault is gone for good.

        Args:
            tasks: run while there is a connection.

        Raises:
            VersionError: in a group; this process must end, so that its tunnels go to one with the right version.
        """
        if self._first is not None:
            self._open(self._first)
        elif self._path is not None and not self._reach(self._path):
            self._told("vault_lost")
        while True:
            if self.outbox is None:
                if self._path is None:
                    return
                if not self._reach(self._path):
                    await trio.sleep(_RECONNECT_INTERVAL)
                    continue
            assert self.outbox is not None  # noqa: S101 - it has just been reached
            async with trio.open_nursery() as nursery:
                for task in (self.outbox.run, *tasks):
                    nursery.start_soon(task)
                await self._listen(self.outbox)
                nursery.cancel_scope.cancel()
            if self._path is not None:
                await trio.sleep(_RECONNECT_INTERVAL)  # the vault may close each connection at once

    def close(self) -> None:
        """Close the connection, and don't reconnect."""
        self._path = None
        self._hang_up()

    def _reach(self, path: Path) -> bool:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
            return False
        self._open(sock)
        return True

    def _open(self, sock: socket.socket) -> None:
        self.outbox = Outbox(sock, self._hear_of_pace)
        self._greet(self.outbox)
        self._told("vault_connected")

    def _hear_of_pace(self, taken: bool) -> None:
        self._told("vault_connected" if taken else "vault_lost")

    def _lost(self, reason: str = "vault_lost") -> None:
        was_away = self.stalled
        if self._hang_up() and (not was_away or reason != "vault_lost"):  # else it has been reported already
            self._told(reason)

    def _hang_up(self) -> bool:
        outbox, self.outbox = self.outbox, None
        if outbox is None:
            return False
        trio.lowlevel.notify_closing(outbox.sock)
        outbox.sock.close()
        outbox.clear()
        self._ended()
        return True

    async def _listen(self, outbox: Outbox) -> None:
        burst = 0
        while self.outbox is outbox:
            try:
                message = protocol.receive(outbox.sock)
            except BlockingIOError:
                burst = 0
                try:
                    await trio.lowlevel.wait_readable(outbox.sock)
                except trio.ClosedResourceError:
                    return
                continue
            except ConnectionError:
                self._lost()
                return
            except ProtocolError as error:
                if error.message is not None:
                    self.post((protocol.pack(Kind.RETURN, error.message.number, version=self._version), ()))
                continue
            if message is None:
                self._lost()
                return
            if message.kind == Kind.REFUSED:  # the vault has taken no tunnel of this worker, so it can go on
                self._path = None
                self._lost("vault_refused")
                return
            if not message.understood:
                message.close()
                raise VersionError(f"the vault speaks version {message.version}")
            self._heard(message)
            burst += 1
            if burst % _BURST == 0:
                await trio.lowlevel.checkpoint()
