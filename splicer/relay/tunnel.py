"""What the hub keeps of a tunnel: two legs, each a socket and the direction that begins at it."""

from __future__ import annotations

import os
import socket

import trio
from attrs import frozen

from splicer.errors import Side
from splicer.relay.pipes import Pipe, PipePool

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
        "half_closed",
        "idle",
        "last",
        "owner",
        "pod",
        "result",
        "task",
    )

    def __init__(
        self, client: Leg, pod: Leg, limits: TunnelLimits, now: float, key: int = 0, owner: object = None
    ) -> None:
        self.client = client
        self.pod = pod
        client.peer, pod.peer = pod, client
        client.tunnel = pod.tunnel = self
        client.word, pod.word = key, key | 1
        self.owner = owner  # what the caller of `splice` knows it by
        self.idle = limits.idle
        self.half_closed = limits.half_closed
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
        return min(self.last + (self.half_closed if self.half else self.idle), self.expires)

    def overdue(self, now: float) -> TunnelEnd | None:
        """The end that a deadline makes of it at `now`, if any."""
        if now >= self.expires:
            return TunnelEnd(Side.PROXY, "lifetime")
        if now >= self.due():
            return TunnelEnd(Side.PROXY, "half_closed" if self.half else "idle")
        return None


@frozen
class ResumeState:
    """What a tunnel that was another worker's has behind it.

    Args:
        pipes: the read ends of pipes whose bytes go first, [to_pod, to_client]; None: there is none.
        to_pod: bytes that the pod's socket has taken.
        to_client: bytes that the client's socket has taken.
        silent: seconds since a byte moved.
        age: seconds since it was opened.
        broken: whose connection was reset, if one was.
        closer: whose end of stream the other one has got already.
        patience: the TCP_USER_TIMEOUT, in ms, of a socket from which the other worker may have lifted it.
    """

    pipes: tuple[int | None, int | None] = (None, None)
    to_pod: int = 0
    to_client: int = 0
    silent: float = 0.0
    age: float = 0.0
    broken: Side | None = None
    closer: Side | None = None
    patience: int = 0


# The journal's word comes first: a byte must never be in a pipe of which the journal says something else.
def load(pool: PipePool, leg: Leg, data: bytes, pipe: Pipe | None = None) -> None:
    """Put bytes that were read before the splice into the leg's pipe: they go first, and by splice too.

    Args:
        pool: has the pipes.
        leg: where the bytes come from.
        data: the bytes.
        pipe: of the pool's, clean; None: it gives one.

    Raises:
        BlockingIOError: the pool's keeper can't hear of a new pipe now.
        OSError: no descriptor for a pipe, or one too small (a user over pipe-user-pages-soft, pipe(7)).
    """
    if not data:
        return
    pipe = leg.pipe = pipe or pool.take(len(data))
    pool.registry.words[pipe.place] = leg.word
    leg.parked = os.write(pipe.write_fd, data)
    if leg.parked < len(data):
        raise OSError(f"a pipe took {leg.parked} of {len(data)} early bytes")


def resume(pool: PipePool, tunnel: Tunnel, past: ResumeState) -> None:
    """Take up a tunnel where another worker left it.

    An end of stream that has not been passed on shows itself again: it can be read any number of times. A reset does
    not, for an error is told once; hence `past.broken`.
    """
    tunnel.client.total, tunnel.pod.total = past.to_pod, past.to_client
    tunnel.last -= past.silent
    tunnel.expires -= past.age
    for leg, fd in zip((tunnel.client, tunnel.pod), past.pipes, strict=True):
        if fd is not None:
            pipe = pool.adopt(fd, leg.word)
            leg.parked = pipe.unread
            if leg.parked:
                leg.pipe = pipe
            else:
                pool.give_back(pipe)
        if past.closer is leg.side:
            leg.eof, tunnel.closer = True, leg.side
        if past.broken is leg.side:
            leg.broken = "reset"
        if past.patience and not leg.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT):
            leg.patience = past.patience


def why_broken(error: OSError) -> str:
    """The word for it in `TunnelEnd`."""
    if isinstance(error, ConnectionResetError):
        return "reset"
    if isinstance(error, TimeoutError):
        return "timed_out"
    return os.strerror(error.errno or 0).lower().replace(" ", "_")
