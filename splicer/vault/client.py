"""A worker's connection to the vault.

What is said stays in order: once something waits in the outbox, all else waits behind it. A pipe is known to the vault
before the first byte goes into it, a tunnel before its peers see a byte.
"""

from __future__ import annotations

import errno
import math
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
from attrs import frozen

from splicer.vault import protocol
from splicer.vault.held import is_stream
from splicer.vault.journal import PLACES, Journal
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind, Message, ProtocolError

_AGAIN = 0.25  # seconds between two attempts to reach a vault that is away
_PAUSE = 0.002  # seconds
_FULL = 1.0  # seconds in which a vault that has refused a tunnel is not asked again
_OFFERS = 16  # tunnels that a vault has refused and is asked for once more, at a time
_GATHER = 0.005  # seconds that releases wait for others
_MOST_RELEASED = 256  # in one message
_BURST = 16  # adoptions in a row before other tasks have their turn


def _nothing() -> None:
    """Who releases a tunnel wants to do nothing more."""


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


@frozen
class _Known:
    """What a vault that comes back is told of a tunnel."""

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
        self._sock: socket.socket | None = None
        self._first = sock
        self._path = path
        self._adopt = adopt
        self._told = told
        self._serves: tuple[int, int] | None = None
        self._pipes: dict[int, int] = {}
        self._tunnels: dict[int, _Known] = {}
        self._outbox: deque[tuple[Kind, int, bytes]] = deque()
        self._full_until = -math.inf
        self._returned: set[int] = set()  # tunnels that the vault could not take
        self._released: list[_Released] = []  # what is over, and the vault has not been told
        self._unsent: deque[list[_Released]] = deque()  # those of each message that waits in the outbox
        self._queued = trio.Event()

    @property
    def words(self) -> memoryview[int]:
        """The journal's words."""
        return self.journal.words

    @property
    def connected(self) -> bool:
        """Whether calls are protected."""
        return self._sock is not None

    @property
    def settled(self) -> bool:
        """Whether the vault has all that there is here."""
        return self._sock is not None and not self._outbox and not self._released and not self._returned

    def finish(self) -> None:
        """Say what there is still to say, as far as it can be said at once."""
        self._post_released()

    def close(self) -> None:
        """Let go. What the vault has been told of is another's from now on: nothing here may touch it any more."""
        if self._sock is not None:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        self._sock = self._path = None
        self._clear()

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
            if self._sock is None:
                if self._path is None:
                    return
                if not self._reach(self._path):
                    await trio.sleep(_AGAIN)
                    continue
            assert self._sock is not None  # noqa: S101 - it has just been reached
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._flush_forever, self._sock)
                nursery.start_soon(self._offer_again)
                await self._listen(self._sock)
                nursery.cancel_scope.cancel()
            if self._path is not None:
                await trio.sleep(_AGAIN)  # one that hangs up at once must not be stormed

    def serve(self, slot: int, slots: int) -> None:
        """From now on this worker takes the tunnels of a slot."""
        self._serves = slot, slots
        self._post(Kind.SERVE, slot)

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
        """Make a tunnel outlive this process. A full channel delays it; without a vault it goes on unprotected.

        Args:
            key: even, never used before, and unique among all workers.
            passport: what its next worker must know of it.
            client: its socket.
            pod: its socket.
            adoptions: how often it has changed its worker.

        Raises:
            OSError: the vault has no room left.
        """
        if self._path is not None:
            self._tunnels[key] = _Known(passport, client, pod, adoptions)
        data = self._pack(Kind.TUNNEL, key, passport, quantity=adoptions)
        fds = client.fileno(), pod.fileno()
        if trio.current_time() < self._full_until:
            raise OSError(errno.EMFILE, "the vault has no descriptor left")
        while (sock := self._sock) is not None:
            if not self._outbox and self._try_send(sock, data, fds):
                return
            await self._writable(sock)

    def remember(self, adopted: Adopted) -> None:
        """Be able to register an adopted tunnel with a vault that comes back."""
        if self._path is not None:
            self._tunnels[adopted.key] = _Known(adopted.passport, adopted.client, adopted.pod, adopted.adoptions)

    # Each message wakes the vault, which costs a handshake more than the message does: what can wait goes with others.
    def release(
        self, key: int, *, soon: bool = False, then: Callable[[], None] = _nothing, after: Callable[[], None] = _nothing
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
        self._released.append((key, then, after))
        if soon or self._sock is None or len(self._released) >= _MOST_RELEASED:
            self._post_released()
        elif len(self._released) == 1:
            self._queued.set()

    def _post_released(self) -> None:
        if self._released:
            released, self._released = self._released, []
            first, *others = (key for key, _, _ in released)
            self._unsent.append(released)
            if self._sock is None:
                self._clear()
            else:
                self._post(Kind.RELEASE, first, protocol.pack_keys(others))

    def _told_of_release(self) -> None:
        released = self._unsent.popleft()
        for _, then, _ in released:
            then()
        for _, _, after in released:
            after()

    # What nobody will hear of any more need not be waited for.
    def _clear(self) -> None:
        self._outbox.clear()
        while self._unsent:
            self._told_of_release()

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
        if self._outbox:
            raise BlockingIOError
        self.words[place] = word
        if self._sock is not None and not self._try_send(self._sock, self._pack(Kind.PIPE, place), (fd,)):
            raise BlockingIOError
        self._pipes[place] = fd

    async def wait(self) -> None:
        """Wait until the vault can hear more, or is gone."""
        if self._sock is not None:
            await self._writable(self._sock)

    def drop_pipe(self, place: int) -> None:
        """A pipe is closed."""
        del self._pipes[place]
        self._post(Kind.DROP, place)

    def _try_send(self, sock: socket.socket, data: bytes, fds: tuple[int, ...]) -> bool:
        try:
            protocol.send(sock, data, fds)
        except BlockingIOError:
            return False
        except OSError:
            return True  # its end is about to be read
        return True

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
        self._sock = sock
        self._outbox.append((Kind.HELLO, 0, b""))
        if self._serves is not None:
            self._outbox.append((Kind.SERVE, self._serves[0], b""))
        self._outbox.extend((Kind.PIPE, place, b"") for place in self._pipes)
        self._outbox.extend((Kind.TUNNEL, key, b"") for key in self._tunnels)
        self._flush(sock)
        self._queued.set()
        self._told("vault_connected")

    def _lost(self, reason: str = "vault_lost") -> None:
        if self._sock is not None:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
            self._sock = None
            self._clear()
            self._post_released()
            self._returned.clear()
            self._full_until = -math.inf
            self._told(reason)

    def _post(self, kind: Kind, number: int, payload: bytes = b"") -> None:
        if self._sock is None:
            return
        self._outbox.append((kind, number, payload))
        self._flush(self._sock)
        if self._outbox:
            self._queued.set()

    def _flush(self, sock: socket.socket) -> None:
        try:
            while self._outbox:
                message = self._message(*self._outbox[0])
                if message is not None:
                    protocol.send(sock, *message)
                if self._outbox.popleft()[0] == Kind.RELEASE:
                    self._told_of_release()
        except BlockingIOError:
            return
        except OSError:
            self._clear()  # its end is about to be read

    # Descriptors are looked up when they leave: what was closed while it waited may be another's number by now.
    def _message(self, kind: Kind, number: int, payload: bytes) -> tuple[bytes, tuple[int, ...]] | None:
        if kind == Kind.HELLO:
            return self._pack(kind), (self.journal.fd,)
        if kind == Kind.SERVE:
            return self._pack(kind, number, quantity=self._serves[1] if self._serves else 1), ()
        if kind == Kind.PIPE:
            fd = self._pipes.get(number)
            return None if fd is None else (self._pack(kind, number), (fd,))
        if kind == Kind.TUNNEL:
            known = self._tunnels.get(number)
            if known is None:
                return None
            data = self._pack(kind, number, known.passport, quantity=known.adoptions)
            return data, (known.client.fileno(), known.pod.fileno())
        if kind == Kind.DROP:
            return self._pack(kind, number, self.words[number].to_bytes(8, "big")), ()
        return self._pack(kind, number, payload), ()

    async def _flush_forever(self, sock: socket.socket) -> None:
        while True:
            if not self._outbox and not self._released:
                self._queued = trio.Event()
                await self._queued.wait()
            if self._released:
                await trio.sleep(_GATHER)
                self._post_released()
            if self._outbox:
                await self._writable(sock)
                self._flush(sock)

    # A vault that was full when their calls opened may have room by now.
    async def _offer_again(self) -> None:
        while True:
            await trio.sleep(_FULL)
            for key in [key for key in self._returned if key in self._tunnels][:_OFFERS]:
                self._returned.discard(key)
                self._post(Kind.TUNNEL, key)

    # Somebody else may be waiting for the same socket already, and Trio allows one; or it is not the socket's own
    # buffer that is full (ETOOMANYREFS).
    async def _writable(self, sock: socket.socket) -> None:
        with suppress(trio.BusyResourceError, trio.ClosedResourceError):
            await trio.lowlevel.wait_writable(sock)
        await trio.sleep(_PAUSE)

    async def _listen(self, sock: socket.socket) -> None:
        burst = 0
        while self._sock is sock:
            try:
                message = protocol.receive(sock)
            except BlockingIOError:
                burst = 0
                try:
                    await trio.lowlevel.wait_readable(sock)
                except trio.ClosedResourceError:
                    return
                continue
            except ConnectionError:
                self._lost()
                return
            except ProtocolError as error:
                if error.message is not None:
                    self._post(Kind.RETURN, error.message.number)
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
            self._full_until = trio.current_time() + _FULL
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
