"""What the hub keeps of a tunnel: two legs, each a socket and the direction that begins at it."""

from __future__ import annotations

import socket
from typing import Any

import trio

from splicer.errors import Side
from splicer.relay.api import TunnelEnd, TunnelLimits
from splicer.relay.pipes import Pipe

READ = 1  # EPOLLIN
WRITE = 4  # EPOLLOUT


class Leg:
    """One socket of a tunnel, and the direction from it to its peer.

    Args:
        sock: connected, non-blocking; the hub never closes it.
        side: whose socket it is.
    """

    __slots__ = (
        "broken",
        "discard",
        "eof",
        "fd",
        "mask",
        "over",
        "parked",
        "patience",
        "peer",
        "pipe",
        "seen",
        "side",
        "sock",
        "starved",
        "total",
        "tunnel",
        "word",
    )
    peer: Leg
    tunnel: Tunnel

    def __init__(self, sock: socket.socket, side: Side) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.side = side
        self.mask = 0
        self.pipe: Pipe | None = None  # dirty, and ours; only while `parked` is not 0
        self.parked = 0  # bytes that wait for room at the peer: in the pipe, or, without one, in our socket
        self.total = 0  # bytes that the peer's socket took
        self.starved = False  # it waits for a pipe, not for room
        self.eof = False  # the socket's end of stream was read
        self.discard = False  # the peer takes no more: what is read here is dropped
        self.broken: str | None = None  # its connection is, and so
        self.over = False  # nothing more is read of it: a connection broke, and what is left is being delivered
        self.patience = 0  # the TCP_USER_TIMEOUT, in ms, that was lifted from it (liveness.py)
        self.seen = 0  # bytes written to it at the last look at it (liveness.py)
        self.word = 0  # what the journal says of a pipe with this direction's bytes

    def wanted(self) -> int:
        """The events worth waiting for: data while nothing is parked, room while the peer's bytes are."""
        mask = 0 if self.eof or self.over or self.parked else READ
        if self.peer.parked and not self.peer.starved:
            mask |= WRITE
        return mask


class Tunnel:
    """Two legs and the task that sleeps until they are through.

    `last` (when a byte last moved) and `expires` are on Trio's clock, seconds.
    """

    __slots__ = (
        "client",
        "closer",
        "error",
        "expires",
        "last",
        "limits",
        "owner",
        "pod",
        "result",
        "task",
    )

    def __init__(
        self, client: Leg, pod: Leg, limits: TunnelLimits, now: float, key: int = 0, owner: Any = None
    ) -> None:
        self.client = client
        self.pod = pod
        client.peer, pod.peer = pod, client
        client.tunnel = pod.tunnel = self
        client.word, pod.word = key, key | 1
        self.owner = owner  # what the caller of `splice` knows it by
        self.limits = limits
        self.last = now
        self.expires = now + limits.lifetime
        self.closer: Side | None = None  # whose end of stream came first, or who broke first
        self.result: TunnelEnd | None = None
        self.error: Exception | None = None  # a bug that ended it
        self.task: trio.lowlevel.Task | None = None

    # Nobody looks at the legs of a tunnel that has ended; and a collector that has to find it, and a thousand others,
    # keeps all frames waiting for ten milliseconds.
    def break_cycle(self) -> None:
        """Undo the ring of legs and tunnel, so that all of it is freed at once; an error holds it by its traceback."""
        del self.client.peer, self.pod.peer
        del self.client, self.pod
        self.error = None

    @property
    def alive(self) -> bool:
        """See `TunnelView`, as for what follows."""
        return self.result is None

    @property
    def to_pod(self) -> int:
        """Bytes that the pod's socket has taken."""
        return self.client.total

    @property
    def to_client(self) -> int:
        """Bytes that the client's socket has taken, without the 101."""
        return max(0, self.pod.total)

    @property
    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """The client's and the pod's."""
        return self.client.sock, self.pod.sock

    def idle(self, now: float) -> float:
        """Seconds without a byte."""
        return max(0.0, now - self.last)

    @property
    def half(self) -> bool:
        """Whether one direction is over."""
        return self.closer is not None

    # One that breaks after its end of stream takes nothing back.
    def broken(self) -> TunnelEnd | None:
        """The end that a broken connection makes of it, if one is broken."""
        for leg in (self.client, self.pod):
            if leg.broken and not leg.eof:
                return TunnelEnd(leg.side, leg.broken, reset=leg.broken == "reset")
        return None

    def due(self) -> float:
        """When the next deadline strikes if no byte moves."""
        return min(self.last + (self.limits.half_closed if self.half else self.limits.idle), self.expires)

    def overdue(self, now: float) -> TunnelEnd | None:
        """The end that a deadline makes of it at `now`, if any."""
        if now >= self.expires:
            return TunnelEnd(Side.PROXY, "lifetime")
        if now >= self.due():
            return TunnelEnd(Side.PROXY, "half_closed" if self.half else "idle")
        return None
