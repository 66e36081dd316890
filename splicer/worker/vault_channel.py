"""A worker's channel to the vault: found, listened to, and found again when the vault was away."""

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
    """The vault speaks a version that this program doesn't understand, and may have given it tunnels."""


class VaultChannel:
    """The connection that there is, or none.

    Args:
        sock: a connection to the vault, or None.
        path: of its socket, when it is a process of its own that may go and come back; None: once gone, it is gone.
        greet: says the first words on a new connection, before anything else is said there.
        heard: gets each message but a refusal of all.
        ended: is called when a connection is over, and `outbox` None.
        told: is told "vault_connected", "vault_lost" or "vault_refused".
        version: that the vault speaks.
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
        """Whether a vault that is gone is looked for."""
        return self._path is not None

    @property
    def connected(self) -> bool:
        """Whether the vault is there, and takes what is said."""
        return self.outbox is not None and not self.outbox.away

    @property
    def stalled(self) -> bool:
        """Whether the vault is there, and takes nothing."""
        return self.outbox is not None and self.outbox.away

    def post(self, packet: Packet, told: Callable[[], None] = nothing) -> None:
        """Say something as soon as it can be said.

        Args:
            packet: the message.
            told: is called when it has left, or nobody waits for that, or there is no vault.
        """
        if self.outbox is None:
            told()
        else:
            self.outbox.post(lambda: packet, told)

    async def run(self, *tasks: Task) -> None:
        """Hear what the vault says, and look for one that is away; until cancelled, or it is gone for good.

        Args:
            tasks: what runs while there is a connection.

        Raises:
            VersionError: in a group; this process must end, so that its tunnels go to one that understands.
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
                await trio.sleep(_RECONNECT_INTERVAL)  # one that hangs up at once must not be stormed

    def close(self) -> None:
        """Hang up, and look for no other."""
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
        if self._hang_up() and (not was_away or reason != "vault_lost"):  # else that has been told
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
            if message.kind == Kind.REFUSED:  # it has taken nothing from here, so nothing is another's now
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
