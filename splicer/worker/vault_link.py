"""A worker's link to the vault, for the hub and the session.

Messages stay in order: once one waits in the outbox, all later ones wait behind it. Invariant: a pipe is registered
before its first byte, a tunnel before its peers see a byte.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from splicer.vault import protocol
from splicer.vault.journal import PLACES, Journal
from splicer.vault.protocol import Kind, Message
from splicer.worker.adopted import Adopted, read_adopted
from splicer.worker.vault_channel import VaultChannel
from splicer.worker.vault_inventory import Inventory, KnownTunnel
from splicer.worker.vault_outbox import Outbox, nothing
from splicer.worker.vault_refusals import Refusals
from splicer.worker.vault_releases import Releases


class VaultLink:
    """Registers this worker's slot, pipes and tunnels with the vault, and receives tunnels from it.

    Args:
        sock: a connection to the vault, or None.
        path: the path of its socket if it is a process of its own, which may come back; None: it doesn't come back.
        adopt: called with each tunnel that the vault hands over; it must not block.
        told: called with "vault_connected", "vault_lost", "vault_refused" or "adoption_failed".
        version: the vault's protocol version.
    """

    def __init__(
        self,
        sock: socket.socket | None,
        path: Path | None,
        adopt: Callable[[Adopted], None],
        told: Callable[[str], None],
        version: int = protocol.VERSION,
    ) -> None:
        self._version = version
        self._pack = partial(protocol.pack, version=version)
        self.journal = Journal()
        self._adopt = adopt
        self._told = told
        self._inventory = Inventory(self._pack, version)
        self._refusals = Refusals(self._inventory.tunnels, self._offer_again)
        self._releases = Releases(self._say_released)
        self._channel = VaultChannel(
            sock, path, greet=self._greet, heard=self._hear, ended=self._forget, told=told, version=version
        )

    @property
    def words(self) -> memoryview[int]:
        """The journal's words."""
        return self.journal.words

    @property
    def connected(self) -> bool:
        """Whether calls are protected."""
        return self._channel.connected

    @property
    def stalled(self) -> bool:
        """Whether the vault is connected but takes no messages; it still holds what was registered before."""
        return self._channel.stalled

    @property
    def settled(self) -> bool:
        """Whether the vault has all tunnels and releases of this worker."""
        outbox = self._channel.outbox
        told = outbox is not None and outbox.is_empty
        return told and self._releases.is_empty and self._refusals.is_empty

    async def run(self) -> None:
        """Receive messages, and reconnect to a vault that was away; until cancelled, or the vault is gone for good.

        Raises:
            VersionError: in a group; this process must end, so that its tunnels go to one with the right version.
        """
        await self._channel.run(self._releases.run, self._refusals.run)

    def finish(self) -> None:
        """Send the messages that are left, as many as the channel takes at once."""
        self._releases.post()
        if self._channel.outbox is not None:
            self._channel.outbox.flush()

    def close(self) -> None:
        """Close the channel. Registered tunnels belong to another worker from now on, and must not be touched here."""
        outbox = self._channel.outbox
        if outbox is not None and outbox.can_send and self._version >= protocol.FIRST_WITH_CRASHES:
            outbox.send_now(self._pack(Kind.LEAVE), ())
        self._channel.close()

    # ---- the slot ----

    def serve(self, slot: int, slots: int) -> None:
        """Take the tunnels of a slot from now on."""
        self._inventory.serves = slot, slots
        self._channel.post((self._pack(Kind.SERVE, slot, quantity=slots), ()))

    def stop_serving(self) -> None:
        """Don't announce the slot to a vault that comes back: another worker has it."""
        self._inventory.serves = None

    # ---- tunnels ----

    async def register(
        self,
        key: int,
        passport: bytes,
        client: socket.socket,
        pod: socket.socket,
        adoptions: int = 0,
    ) -> None:
        """Register a tunnel, so that it outlives this process. A full channel delays this by at most a second.

        Without a vault, or with one that takes no messages, the tunnel goes on unprotected, and is registered later.

        Args:
            key: even, never used before, and unique among all workers.
            passport: the passport for its next worker.
            client: the client's socket.
            pod: the pod's socket.
            adoptions: the number of times that it has changed its worker.

        Raises:
            OSError: the vault has no descriptor left.
        """
        known = KnownTunnel(passport, client, pod, adoptions)
        if self._channel.comes_back:
            self._inventory.tunnels[key] = known
        if self._refusals.is_full():
            raise OSError(errno.EMFILE, "the vault has no descriptor left")
        outbox, registration = self._channel.outbox, self._inventory.registration
        if outbox is None or (outbox.is_empty and outbox.send_now(*registration(key, known))):
            return
        outbox.offer(key, partial(registration, key, known))
        await outbox.until_told(key)

    def remember(self, adopted: Adopted) -> None:
        """Keep what is needed to register an adopted tunnel with a vault that comes back."""
        if self._channel.comes_back:
            known = KnownTunnel(adopted.passport, adopted.client, adopted.pod, adopted.adoptions, adopted.crashes)
            self._inventory.tunnels[adopted.key] = known

    def release(
        self, key: int, *, soon: bool = False, then: Callable[[], None] = nothing, after: Callable[[], None] = nothing
    ) -> None:
        """Release a tunnel that is over and whose sockets are closed.

        Args:
            key: the tunnel's key.
            soon: don't wait for other releases: a reset is sent only when the vault has closed its duplicate.
            then: called as soon as the release was sent, or there is no vault.
            after: called when `then` was called for all tunnels released together.
        """
        self._inventory.tunnels.pop(key, None)
        self._refusals.discard(key)
        outbox = self._channel.outbox
        if outbox is None or outbox.withdraw(key):
            then()
            after()
        else:
            self._releases.add(key, then, after, soon=soon)

    # ---- pipes ----

    # The word is written to the journal before the vault has the pipe, which may hold bytes from another worker; but
    # not before earlier messages about the same place were sent, because these depend on the old word.
    def add_pipe(self, place: int, fd: int, word: int) -> None:
        """Register a pipe.

        Args:
            place: its index in the journal.
            fd: its read end.
            word: its word in the journal.

        Raises:
            BlockingIOError: the message can't be sent now; the pipe must not be used.
            OSError: the journal has no place for it.
        """
        if place >= PLACES:
            raise OSError("the journal is full")
        outbox = self._channel.outbox
        if outbox is not None and not outbox.can_send:
            raise BlockingIOError
        self.words[place] = word
        if outbox is not None and not outbox.send_now(self._pack(Kind.PIPE, place), (fd,)):
            raise BlockingIOError
        self._inventory.pipes[place] = fd

    async def wait(self) -> bool:
        """Wait until another pipe may be registered; False: the vault takes no messages."""
        outbox = self._channel.outbox
        return outbox is None or await outbox.room()

    def drop_pipe(self, place: int) -> None:
        """Tell the vault that a pipe is closed."""
        del self._inventory.pipes[place]
        self._channel.post((self._pack(Kind.DROP, place, self.words[place].to_bytes(8, "big")), ()))

    # ---- callbacks of the parts ----

    def _greet(self, outbox: Outbox) -> None:
        hello = self._pack(Kind.HELLO), (self.journal.fd,)
        outbox.post(lambda: hello)
        self._inventory.tell(outbox)

    def _forget(self) -> None:
        self._releases.post()
        self._refusals.clear()

    def _say_released(self, keys: Sequence[int], told: Callable[[], None]) -> None:
        first, *others = keys
        self._channel.post((self._pack(Kind.RELEASE, first, protocol.pack_keys(others)), ()), told)

    def _offer_again(self, key: int) -> None:
        if self._channel.outbox is not None:
            known = self._inventory.tunnels[key]
            self._channel.outbox.offer(key, partial(self._inventory.registration, key, known))

    def _hear(self, message: Message) -> None:
        if message.kind == Kind.RETURN:
            self._refusals.add(message.number)
        if message.kind != Kind.TUNNEL:
            message.close()
            return
        try:
            adopted = read_adopted(message)
        except (OSError, ValueError):  # no worker could continue it
            message.close()
            self._told("adoption_failed")
            self.release(message.number)
            return
        self._adopt(adopted)
