"""A worker's connection to the vault.

What is said stays in order: once something waits in the outbox, all else waits behind it. A pipe is known to the vault
before the first byte goes into it, a tunnel before its peers see a byte.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio
from attrs import define, frozen

from splicer.vault import protocol
from splicer.vault.held import is_stream
from splicer.vault.journal import PLACES, Journal
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind, Message, ProtocolError
from splicer.worker.vault_outbox import Outbox, Packet, nothing

_RECONNECT_INTERVAL = 0.25  # seconds between two attempts to reach a vault that is away
_REFUSED_INTERVAL = 1.0  # seconds in which a vault that has refused a tunnel is not asked again
_OFFERS = 16  # tunnels that a vault has refused and is asked for once more, at a time
_RELEASE_BATCH_WINDOW = 0.005  # seconds that releases wait for others
_MOST_RELEASED = 256  # in one message
_BURST = 16  # adoptions in a row before other tasks have their turn


@frozen
class Adopted:
    """A tunnel that another worker had.

    Args:
        key: its key in the vault.
        adoptions: how often it has changed its worker.
        passport: what was written down when it was registered.
        client: its socket.
        pod: its socket.
        pipes: direction → read end of a pipe whose bytes go first; nobody writes to it any more.
    """

    key: int
    adoptions: int
    passport: bytes
    client: socket.socket
    pod: socket.socket
    pipes: dict[int, int]


@define
class _Known:
    """What the vault is told of a tunnel."""

    passport: bytes
    client: socket.socket
    pod: socket.socket
    adoptions: int


_Released = tuple[int, Callable[[], None], Callable[[], None]]


class VersionError(Exception):
    """The vault speaks a version that this program doesn't understand, and may have given it tunnels."""


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
        self._outbox: Outbox | None = None  # of the connection that there is
        self._first = sock
        self._path = path
        self._adopt = adopt
        self._told = told
        self._serves: tuple[int, int] | None = None
        self._pipes: dict[int, int] = {}
        self._tunnels: dict[int, _Known] = {}
        self._full_until = -math.inf
        self._returned: set[int] = set()  # tunnels that the vault could not take
        self._released: list[_Released] = []  # what is over, and the vault has not been told
        self._releasing = trio.Event()

    @property
    def words(self) -> memoryview[int]:
        """The journal's words."""
        return self.journal.words

    @property
    def connected(self) -> bool:
        """Whether calls are protected."""
        return self._outbox is not None and not self._outbox.away

    @property
    def stalled(self) -> bool:
        """Whether a vault is there that takes nothing: it still holds what it was told of."""
        return self._outbox is not None and self._outbox.away

    @property
    def settled(self) -> bool:
        """Whether the vault has all that there is here."""
        told = self._outbox is not None and self._outbox.is_empty
        return told and not self._released and not self._returned

    def finish(self) -> None:
        """Say what there is still to say, as far as it can be said at once."""
        self._post_released()
        if self._outbox is not None:
            self._outbox.flush()

    def close(self) -> None:
        """Let go. What the vault has been told of is another's from now on: nothing here may touch it any more."""
        self._path = None
        self._hang_up()

    def _hang_up(self) -> bool:
        outbox, self._outbox = self._outbox, None
        if outbox is None:
            return False
        trio.lowlevel.notify_closing(outbox.sock)
        outbox.sock.close()
        outbox.clear()
        self._post_released()
        return True

    async def run(self) -> None:
        """Hear what the vault says, and look for one that is away; until cancelled, or it is gone for good.

        Raises:
            VersionError: in a group; this process must end, so that its tunnels go to one that understands.
        """
        if self._first is not None:
            self._greet(self._first)
        elif self._path is not None and not self._reach(self._path):
            self._told("vault_lost")
        while True:
            if self._outbox is None:
                if self._path is None:
                    return
                if not self._reach(self._path):
                    await trio.sleep(_RECONNECT_INTERVAL)
                    continue
            assert self._outbox is not None  # noqa: S101 - it has just been reached
            async with trio.open_nursery() as nursery:
                for task in (self._outbox.run, self._tell_of_released, self._offer_again):
                    nursery.start_soon(task)
                await self._listen(self._outbox)
                nursery.cancel_scope.cancel()
            if self._path is not None:
                await trio.sleep(_RECONNECT_INTERVAL)  # one that hangs up at once must not be stormed

    def serve(self, slot: int, slots: int) -> None:
        """From now on this worker takes the tunnels of a slot."""
        self._serves = slot, slots
        self._post(self._pack(Kind.SERVE, slot, quantity=slots))

    def stop_serving(self) -> None:
        """Another worker has the slot: a vault that comes back is not told otherwise."""
        self._serves = None

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
        known = _Known(passport, client, pod, adoptions)
        if self._path is not None:
            self._tunnels[key] = known
        if trio.current_time() < self._full_until:
            raise OSError(errno.EMFILE, "the vault has no descriptor left")
        outbox = self._outbox
        if outbox is None or (outbox.is_empty and outbox.send_now(*self._registration(key, known))):
            return
        outbox.offer(key, partial(self._registration, key, known))
        await outbox.until_told(key)

    def remember(self, adopted: Adopted) -> None:
        """Be able to register an adopted tunnel with a vault that comes back."""
        if self._path is not None:
            self._tunnels[adopted.key] = _Known(adopted.passport, adopted.client, adopted.pod, adopted.adoptions)

    # Each message wakes the vault, which costs a handshake more than the message does: what can wait goes with others.
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
        self._tunnels.pop(key, None)
        self._returned.discard(key)
        if self._outbox is None or self._outbox.withdraw(key):
            then()
            after()
            return
        self._released.append((key, then, after))
        if soon or len(self._released) >= _MOST_RELEASED:
            self._post_released()
        elif len(self._released) == 1:
            self._releasing.set()

    def _post_released(self) -> None:
        released, self._released = self._released, []
        if not released:
            return
        first, *others = (key for key, _, _ in released)
        self._post(self._pack(Kind.RELEASE, first, protocol.pack_keys(others)), told=partial(_call_back, released))

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
        if self._outbox is not None and not self._outbox.can_send:
            raise BlockingIOError
        self.words[place] = word
        if self._outbox is not None and not self._outbox.send_now(self._pack(Kind.PIPE, place), (fd,)):
            raise BlockingIOError
        self._pipes[place] = fd

    async def wait(self) -> bool:
        """Wait until the vault may hear of another pipe; False: it takes nothing."""
        return self._outbox is None or await self._outbox.room()

    def drop_pipe(self, place: int) -> None:
        """A pipe is closed."""
        del self._pipes[place]
        self._post(self._pack(Kind.DROP, place, self.words[place].to_bytes(8, "big")))

    def _reach(self, path: Path) -> bool:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
            return False
        self._greet(sock)
        return True

    # A vault that comes back knows nothing: pipes first, for a tunnel's bytes may be in one.
    def _greet(self, sock: socket.socket) -> None:
        outbox = self._outbox = Outbox(sock, self._hear_of_pace)
        self._post(self._pack(Kind.HELLO), (self.journal.fd,))
        if self._serves is not None:
            self._post(self._pack(Kind.SERVE, self._serves[0], quantity=self._serves[1]))
        for place in self._pipes:
            outbox.post(partial(self._pipe, place))
        for key, known in self._tunnels.items():
            outbox.offer(key, partial(self._registration, key, known))
        self._told("vault_connected")

    def _hear_of_pace(self, taken: bool) -> None:
        self._told("vault_connected" if taken else "vault_lost")

    def _lost(self, reason: str = "vault_lost") -> None:
        was_away = self._outbox is not None and self._outbox.away
        if self._hang_up():
            self._returned.clear()
            self._full_until = -math.inf
            if not was_away or reason != "vault_lost":  # else that has been told
                self._told(reason)

    def _post(self, data: bytes, fds: tuple[int, ...] = (), told: Callable[[], None] = nothing) -> None:
        if self._outbox is None:
            told()
        else:
            self._outbox.post(lambda: (data, fds), told)

    def _pipe(self, place: int) -> Packet | None:
        fd = self._pipes.get(place)
        return None if fd is None else (self._pack(Kind.PIPE, place), (fd,))

    def _registration(self, key: int, known: _Known) -> Packet:
        data = self._pack(Kind.TUNNEL, key, known.passport, quantity=known.adoptions)
        return data, (known.client.fileno(), known.pod.fileno())

    async def _tell_of_released(self) -> None:
        while True:
            if not self._released:
                self._releasing = trio.Event()
                await self._releasing.wait()
            await trio.sleep(_RELEASE_BATCH_WINDOW)
            self._post_released()

    # A vault that was full when their calls opened may have room by now.
    async def _offer_again(self) -> None:
        while True:
            await trio.sleep(_REFUSED_INTERVAL)
            for key in [key for key in self._returned if key in self._tunnels][:_OFFERS]:
                self._returned.discard(key)
                if self._outbox is not None:
                    self._outbox.offer(key, partial(self._registration, key, self._tunnels[key]))

    async def _listen(self, outbox: Outbox) -> None:
        burst = 0
        while self._outbox is outbox:
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
                    self._post(self._pack(Kind.RETURN, error.message.number))
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
            self._handle(message)
            burst += 1
            if burst % _BURST == 0:
                await trio.lowlevel.checkpoint()

    def _handle(self, message: Message) -> None:
        if message.kind == Kind.RETURN:
            self._full_until = trio.current_time() + _REFUSED_INTERVAL
            self._returned.add(message.number)
        if message.kind != Kind.TUNNEL:
            message.close()
            return
        try:
            adopted = _adopted(message)
        except (OSError, ValueError):  # it is nothing that anybody can go on with
            message.close()
            self._told("adoption_failed")
            self.release(message.number)
            return
        self._adopt(adopted)


def _call_back(released: list[_Released]) -> None:
    for _, then, _ in released:
        then()
    for _, _, after in released:
        after()


def _adopted(message: Message) -> Adopted:
    client, pod, *pipes = message.fds
    directions = [way for way in (TO_POD, TO_CLIENT) if message.flags & protocol.parked(way)]
    left = dict(zip(directions, pipes, strict=True))
    if not all(map(is_stream, (client, pod))):
        raise ValueError("no connection")
    sockets = socket.socket(fileno=client), socket.socket(fileno=pod)
    for sock in sockets:
        sock.setblocking(False)
    return Adopted(message.number, message.quantity, message.payload, *sockets, left)
