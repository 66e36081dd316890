"""What the hub keeps of a tunnel: two legs, each a socket and the direction that begins at it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import trio
from attrs import frozen

from splicer.errors import Side
from splicer.relay.pipes import Pipe

READ = 1  # EPOLLIN
WRITE = 4  # EPOLLOUT


@frozen
class TunnelLimits:
    """A tunnel's deadlines, in seconds; `math.inf` is "never" (design §7)."""

    idle: float
    half_closed: float
    lifetime: float


@frozen
class TunnelEnd:
    """How a tunnel ended.

    Args:
        closer: who ended it.
        reason: "eof", "reset", "timed_out", "idle", "half_closed", "lifetime" or the word given to `Tunnel.end`.
        reset: the leg that did not cause the end is to be reset, not closed: a reset is passed on as one.
    """

    closer: Side
    reason: str
    reset: bool = False


class Leg:
    """One socket of a tunnel, and the direction from it to its peer.

    Args:
        sock: connected, non-blocking; the hub never closes it.
        side: whose socket it is.
    """

    __slots__ = (
        "broken",
        "eof",
        "fd",
        "mask",
        "parked",
        "patience",
        "peer",
        "pipe",
        "seen",
        "side",
        "sink",
        "sock",
        "total",
        "tunnel",
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
        self.eof = False  # the socket's end of stream was read
        self.sink = False  # the peer takes no more: what is read here is dropped
        self.broken: str | None = None  # a write to this socket failed, and so
        self.patience = 0  # the TCP_USER_TIMEOUT, in ms, that the vigil lifted from it (vigil.py)
        self.seen = 0  # bytes written to it when the vigil last looked

    def wanted(self) -> int:
        """The events worth waiting for: data while nothing is parked, room while the peer's bytes are."""
        mask = 0 if self.eof or self.parked else READ
        if self.peer.parked:
            mask |= WRITE
        return mask


class Tunnel:
    """Two legs and the task that sleeps until they are through.

    `last` (when a byte last moved) and `expires` are on Trio's clock, seconds.
    """

    __slots__ = ("client", "closer", "expires", "half_closed", "idle", "last", "pod", "result", "task")

    def __init__(self, client: Leg, pod: Leg, limits: TunnelLimits, now: float) -> None:
        self.client = client
        self.pod = pod
        client.peer, pod.peer = pod, client
        client.tunnel = pod.tunnel = self
        self.idle = limits.idle
        self.half_closed = limits.half_closed
        self.last = now
        self.expires = now + limits.lifetime
        self.closer: Side | None = None  # whose end of stream came first, or who broke first
        self.result: TunnelEnd | None = None
        self.task: trio.lowlevel.Task | None = None

    @property
    def half(self) -> bool:
        """Whether one direction is over."""
        return self.closer is not None

    def due(self) -> float:
        """When the next deadline strikes if no byte moves."""
        return min(self.last + (self.half_closed if self.half else self.idle), self.expires)

    def overdue(self, now: float) -> TunnelEnd | None:
        """The end that a deadline makes of it at `now`, if any."""
        if now >= self.expires:
            return TunnelEnd(Side.PROXY, "lifetime")
        if now >= self.due():
            return TunnelEnd(Side.PROXY, "half_closed" if self.half else "idle")
        return None


def load(pipes_take: Callable[[], Pipe], leg: Leg, data: bytes) -> None:
    """Put bytes that were read before the splice into the leg's pipe: they go first, and by splice too.

    Raises:
        OSError: no descriptor for a pipe, or one too small (a user over pipe-user-pages-soft, pipe(7)).
    """
    if not data:
        return
    pipe = leg.pipe = pipes_take()
    leg.parked = os.write(pipe.write_fd, data)
    if leg.parked < len(data):
        raise OSError(f"a pipe took {leg.parked} of {len(data)} early bytes")
