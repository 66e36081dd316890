"""A worker's connection to the vault, as the hub and the session use it.

What is said stays in order: once something waits in the outbox, all else waits behind it. A pipe is known to the vault
before the first byte goes into it, a tunnel before its peers see a byte.
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
    """Keeps the vault informed.

    Args:
        sock: a connection to it, or None.
        path: of its socket, when it is a process of its own that may go and come back; None: once gone, it is gone.
        adopt: gets each tunnel that the vault hands over; it must not block.
        told: is told "vault_connected", "vault_lost", "vault_refused" or "adoption_failed".
        version: that the vault speaks.
    """

    def __init__(
        self,
        sock: socket.socket | None,
        path: Path | None,
        adopt: Callable[[Adopted], None],
        told: Callable[[str], None],
        version: int = protocol.VERSION,
    ) -> None:
        self._pack = partial(protocol.pack, version=version)
        self.journal = Journal()
        self._adopt = adopt
        self._told = told
        self._inventory = Inventory(self._pack)
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
        """Whether a vault is there that takes nothing: it still holds what it was told of."""
        return self._channel.stalled

    @property
    def settled(self) -> bool:
        """Whether the vault has all that there is here."""
        outbox = self._channel.outbox
        told = outbox is not None and outbox.is_empty
        return told and self._releases.is_empty and self._refusals.is_empty

    async def run(self) -> None:
        """Hear what the vault says, and look for one that is away; until cancelled, or it is gone for good.

        Raises:
            VersionError: in a group; this process must end, so that its tunnels go to one that understands.
        """
        await self._channel.run(self._releases.run, self._refusals.run)

    def finish(self) -> None:
        """Say what there is still to say, as far as it can be said at once."""
        self._releases.post()
        if self._channel.outbox is not None:
            self._channel.outbox.flush()

    def close(self) -> None:
        """Let go. What the vault has been told of is another's from now on: nothing here may touch it any more."""
        self._channel.close()

    # ---- the slot ----

    def serve(self, slot: int, slots: int) -> None:
        """From now on this worker takes the tunnels of a slot."""
        self._inventory.serves = slot, slots
        self._channel.post((self._pack(Kind.SERVE, slot, quantity=slots), ()))

    def stop_serving(self) -> None:
        """Another worker has the slot: a vault that comes back is not told otherwise."""
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
        """Make a tunnel outlive this process. A full channel delays it, by a second at most.

        Without a vault, or with one that takes nothing, it goes on unprotected, and is registered when one is back.

        Args:
            key: even, never used before, and unique among all workers.
            passport: what its next worker must know of it.
            client: its socket.
            pod: its socket.
            adoptions: how often it has changed its worker.

        Raises:
            OSError: the vault has no room left.
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
        """Be able to register an adopted tunnel with a vault that comes back."""
        if self._channel.comes_back:
            known = KnownTunnel(adopted.passport, adopted.client, adopted.pod, adopted.adoptions)
            self._inventory.tunnels[adopted.key] = known

    def release(
        self, key: int, *, soon: bool = False, then: Callable[[], None] = nothing, after: Callable[[], None] = nothing
    ) -> None:
        """A tunnel is over, and its sockets are closed.

        Args:
            key: the tunnel's.
            soon: something of it waits for the vault's last descriptor: a reset does.
            then: is called as soon as the vault has been told, or there is none.
            after: is called when `then` was, for all that were released together.
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

    # The word stands in the journal before the vault knows the pipe, which may hold bytes of another worker's; and not
    # before what was said of the place earlier has left, for that goes by the old word.
    def add_pipe(self, place: int, fd: int, word: int) -> None:
        """Make the vault hold a pipe.

        Args:
            place: its place in the journal.
            fd: its read end.
            word: what the journal says of it.

        Raises:
            BlockingIOError: it can't be told now; the pipe must not be used.
            OSError: there is no place for it.
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
        """Wait until the vault may hear of another pipe; False: it takes nothing."""
        outbox = self._channel.outbox
        return outbox is None or await outbox.room()

    def drop_pipe(self, place: int) -> None:
        """A pipe is closed."""
        del self._inventory.pipes[place]
        self._channel.post((self._pack(Kind.DROP, place, self.words[place].to_bytes(8, "big")), ()))

    # ---- what the parts need of each other ----

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
        except (OSError, ValueError):  # it is nothing that anybody can go on with
            message.close()
            self._told("adoption_failed")
            self.release(message.number)
            return
        self._adopt(adopted)
