"""Everything that the vault holds for a worker, and the messages for it.

A vault that comes back is empty, and gets all of these messages again.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from attrs import define

from splicer.vault import protocol
from splicer.vault.protocol import Kind
from splicer.worker.vault_outbox import Outbox, Packet

Pack = Callable[..., bytes]  # `protocol.pack` in the vault's version


@define
class KnownTunnel:
    """The registration of a tunnel.

    Args:
        passport: the passport for its next worker.
        client: the client's socket.
        pod: the pod's socket.
        adoptions: the number of times that it has changed its worker.
        crashes: the number of workers that have crashed with it.
    """

    passport: bytes
    client: socket.socket
    pod: socket.socket
    adoptions: int
    crashes: int = 0


class Inventory:
    """The slot, the pipes and the tunnels.

    Args:
        pack: makes messages.
        version: the vault's protocol version, as `pack` has it.
    """

    def __init__(self, pack: Pack, version: int = protocol.VERSION) -> None:
        self._pack = pack
        self._version = version
        self.serves: tuple[int, int] | None = None  # slot, and number of slots
        self.pipes: dict[int, int] = {}  # place in the journal → read end
        self.tunnels: dict[int, KnownTunnel] = {}  # by key

    def serving(self) -> Packet | None:
        """The message with the slot whose tunnels this worker takes; None: it takes no slot's."""
        if self.serves is None:
            return None
        slot, slots = self.serves
        return self._pack(Kind.SERVE, slot, quantity=slots), ()

    def pipe(self, place: int) -> Packet | None:
        """The message of a pipe; None: the pipe is closed."""
        fd = self.pipes.get(place)
        return None if fd is None else (self._pack(Kind.PIPE, place), (fd,))

    def registration(self, key: int, known: KnownTunnel) -> Packet:
        """The message of a tunnel."""
        flags = protocol.crashed(known.crashes, self._version)
        data = self._pack(Kind.TUNNEL, key, known.passport, flags=flags, quantity=known.adoptions)
        return data, (known.client.fileno(), known.pod.fileno())

    # Pipes come first, because a tunnel's bytes may be in one.
    def tell(self, outbox: Outbox) -> None:
        """Send everything."""
        if (serving := self.serving()) is not None:
            outbox.post(lambda: serving)
        for place in self.pipes:
            outbox.post(partial(self.pipe, place))
        for key, known in self.tunnels.items():
            outbox.offer(key, partial(self.registration, key, known))
