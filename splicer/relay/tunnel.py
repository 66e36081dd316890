"""The relay's state of a tunnel: two legs, each a socket and the direction that begins at it."""

from __future__ import annotations

import socket
from typing import Any

import trio

from splicer.errors import Side
from splicer.relay.api import PeerEnd, TunnelEnd, TunnelLimits
from splicer.relay.pipes import Pipe
from splicer.relay.state import LegState, TunnelState

READ = 1  # EPOLLIN
WRITE = 4  # EPOLLOUT


class Leg(LegState):
    """One socket of a tunnel, and the direction from it to its peer.

    Args:
        sock: connected, non-blocking; the relay does not close it, except in `Relay.let_go`.
        side: the party at the other end of the socket.
    """

    __slots__ = ("broken", "patience", "peer_end", "seen", "side", "sock")
    peer: Leg
    tunnel: Tunnel
    pipe: Pipe | None

    def __init__(self, sock: socket.socket, side: Side) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.side = side
        self.mask = 0
        self.pipe = None  # a pipe with bytes of this direction; only while `parked` is not 0
        self.parked = 0  # bytes that wait for room at the peer: in the pipe, or, without a pipe, in this socket
        self.total = 0  # bytes that the peer's socket took
        self.starved = False  # it waits for a pipe, not for room
        self.eof = False  # the socket's end of stream was read
        self.discard = False  # the peer takes no more: bytes read here are dropped
        self.broken: str | None = None  # the `reason` of `TunnelEnd` if its connection is broken
        self.over = False  # it is not read any more: a connection broke, and the last bytes are being delivered
        self.patience = 0  # the TCP_USER_TIMEOUT, in ms, that was switched off (liveness.py)
        self.seen = 0  # bytes written to it at its last check (liveness.py)
        self.peer_end: PeerEnd | None = None  # see `TunnelSpec`
        self.plain = False  # its events are handled by Python alone
        self.word = 0  # the journal's word for a pipe with this direction's bytes

    def wanted(self) -> int:
        """The events to wait for: readable while nothing is parked, writable while the peer has parked bytes."""
        mask = 0 if self.eof or self.over or self.parked else READ
        if self.peer.parked and not self.peer.starved:
            mask |= WRITE
        return mask

    def end_of_break(self, reason: str) -> TunnelEnd:
        """The tunnel's end because this leg's connection broke; a tls process that died is the proxy's own."""
        return TunnelEnd(Side.PROXY if reason == "tls_lost" else self.side, reason, reset=reason == "reset")


class Tunnel(TunnelState):
    """Two legs, and the task that sleeps until both directions are over.

    `last` (when a byte last moved) and `expires` are in seconds on Trio's clock.
    """

    __slots__ = (
        "client",
        "closer",
        "error",
        "expires",
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
        self.owner = owner  # see `TunnelSpec`
        self.limits = limits
        self.last = now
        self.expires = now + limits.lifetime
        self.closer: Side | None = None  # the side whose end of stream, or whose break, came first
        self.result: TunnelEnd | None = None
        self.error: Exception | None = None  # a bug that ended it
        self.task: trio.lowlevel.Task | None = None

    # The legs of a tunnel that has ended are not used any more. If the garbage collector had to find a thousand such
    # cycles, all frames would wait for ten milliseconds.
    def break_cycle(self) -> None:
        """Break the cycles of legs, tunnel and error (by its traceback), so that all are freed at once."""
        del self.client.peer, self.pod.peer
        del self.client, self.pod
        self.error = None

    @property
    def alive(self) -> bool:
        """See `TunnelView`, also for the following properties."""
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
        """The client's and the pod's socket."""
        return self.client.sock, self.pod.sock

    @property
    def peer_ends(self) -> tuple[PeerEnd | None, PeerEnd | None]:
        """What tells of the client's and of the pod's end."""
        return self.client.peer_end, self.pod.peer_end

    def idle(self, now: float) -> float:
        """Seconds since the last byte."""
        return max(0.0, now - self.last)

    @property
    def half(self) -> bool:
        """Whether one direction has ended."""
        return self.closer is not None

    # A break after the end of stream was read does not count: all bytes of that side have been read.
    def broken(self) -> TunnelEnd | None:
        """The tunnel's end because of a broken connection, if one is broken."""
        for leg in (self.client, self.pod):
            if leg.broken and not leg.eof:
                return leg.end_of_break(leg.broken)
        return None

    def due(self) -> float:
        """The time of the next deadline if no byte moves."""
        return min(self.last + (self.limits.half_closed if self.half else self.limits.idle), self.expires)

    def overdue(self, now: float) -> TunnelEnd | None:
        """The tunnel's end because of a deadline that is over at `now`, if one is."""
        if now >= self.expires:
            return TunnelEnd(Side.PROXY, "lifetime")
        if now >= self.due():
            return TunnelEnd(Side.PROXY, "half_closed" if self.half else "idle")
        return None
