"""The relay's interface to the rest of the program: its input, its operations, and its views of tunnels.

Code outside this package does not depend on how bytes are moved, and uses no leg.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

from attrs import define, field, frozen
from trio.lowlevel import Task

from splicer.errors import Side
from splicer.quality import Quality
from splicer.quick_frozen import quick_frozen

Owner = TypeVar("Owner")
Owner_co = TypeVar("Owner_co", covariant=True)


@quick_frozen
class TunnelLimits:
    """A tunnel's deadlines, in seconds; `math.inf` is "never" (design §7)."""

    idle: float
    half_closed: float
    lifetime: float


@quick_frozen
class TunnelEnd:
    """The end of a tunnel.

    Args:
        closer: the party that ended it.
        reason: "eof", "reset", "timed_out", "tls_error", "tls_lost", "idle", "half_closed", "lifetime" or the word
            given to `Relay.end`.
        reset: whether the leg that did not cause the end must be reset, not closed: a reset is passed on as a reset.
        shut: the leg whose two directions have ended: it has got its FIN already.
    """

    closer: Side
    reason: str
    reset: bool = False
    shut: Side | None = field(default=None, eq=False)


class PeerEnd(Protocol):
    """Tells why a leg's peer sends nothing more, if a tls process stands between: the socket tells only that."""

    @property
    def end(self) -> str:
        """The word "eof", or another `reason` of `TunnelEnd`: "tls_lost" if the tls process has died."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether the peer has ended, though the socket may have bytes to read."""
        ...

    def quality(self) -> Quality | None:
        """The peer's network quality; None: unknown."""
        ...


@frozen
class ResumeState:
    """The state in which a tunnel comes from another worker.

    Args:
        pipes: the read ends of pipes whose bytes must be sent first, [to_pod, to_client]; None: there is none.
        to_pod: bytes that the pod's socket has taken.
        to_client: bytes that the client's socket has taken.
        silent: seconds since the last byte moved.
        age: seconds since the tunnel was opened.
        broken: the side whose connection was reset, if one was.
        closer: the side whose end of stream has been passed on already.
        patience: ms; the TCP_USER_TIMEOUT of a socket on which the other worker may have switched it off.
    """

    pipes: tuple[int | None, int | None] = (None, None)
    to_pod: int = 0
    to_client: int = 0
    silent: float = 0.0
    age: float = 0.0
    broken: Side | None = None
    closer: Side | None = None
    patience: int = 0


@define
class ByteCounts:
    """The bytes that a tunnel has moved, without the 101."""

    to_pod: int = 0
    to_client: int = 0


@quick_frozen
class TunnelSpec(Generic[Owner]):
    """The description of a tunnel to relay.

    Args:
        client: the client's socket, connected and non-blocking.
        pod: the pod's socket, connected and non-blocking.
        limits: the deadlines.
        owner: any object; the tunnel's views have it (`Relay.views`).
        counts: set to the bytes moved, however the tunnel ends.
        to_client: bytes that go to the client first (the 101, and the bytes that came with it).
        to_pod: bytes that the client sent early.
        uncounted: the number of first bytes to the client that don't belong to the tunnel: the 101's length.
        key: the tunnel's key in the journal; an even number.
        register: registers the tunnel with the vault; awaited when all early bytes are in pipes, before any of them is
            sent.
        past: its state if it comes from another worker.
        plain: whether Python alone moves its bytes, if there is another mover.
        client_end: tells of the client's end; None: the client's own socket is `client`, and tells it.
        pod_end: the same of the pod's.
    """

    client: socket.socket
    pod: socket.socket
    limits: TunnelLimits
    owner: Owner
    counts: ByteCounts = field(factory=ByteCounts)
    to_client: bytes = b""
    to_pod: bytes = b""
    uncounted: int = 0
    key: int = 0
    register: Callable[[], Awaitable[None]] | None = None
    past: ResumeState | None = None
    plain: bool = False
    client_end: PeerEnd | None = None
    pod_end: PeerEnd | None = None


class TunnelView(Protocol[Owner_co]):
    """A read-only view of a tunnel; its numbers are current, and valid only while the tunnel is alive."""

    @property
    def owner(self) -> Owner_co:
        """The `owner` of its `TunnelSpec`."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it has not ended; the other properties are valid only then."""
        ...

    @property
    def to_pod(self) -> int:
        """Bytes that the pod's socket has taken."""
        ...

    @property
    def to_client(self) -> int:
        """Bytes that the client's socket has taken, without the 101."""
        ...

    @property
    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """The client's and the pod's socket, to read their TCP_INFO."""
        ...

    @property
    def peer_ends(self) -> tuple[PeerEnd | None, PeerEnd | None]:
        """See `TunnelSpec.client_end` and `pod_end`."""
        ...

    def idle(self, now: float) -> float:
        """Seconds since the last byte, at `now` on Trio's clock."""
        ...


class PipeCounts(Protocol):
    """The numbers of pipes."""

    @property
    def idle(self) -> int:
        """The number of clean pipes that are free."""
        ...

    @property
    def in_use(self) -> int:
        """The number of pipes that hold bytes."""
        ...


class LiveTunnels(Protocol[Owner_co]):
    """Gives views of the live tunnels."""

    def views(self) -> Sequence[TunnelView[Owner_co]]:
        """Views of the live tunnels, oldest first; the result is a copy."""
        ...

    @property
    def turn_if_due(self) -> Callable[[], object]:
        """Moves one batch of events if the last look at them was too long ago."""
        ...


class Relay(LiveTunnels[Owner], Protocol[Owner]):
    """Splices any number of tunnels; a worker has one instance, whose `run` is in the worker's nursery."""

    @property
    def tunnels(self) -> int:
        """The number of live tunnels."""
        ...

    @property
    def left(self) -> int:
        """The number of tunnels left to the vault."""
        ...

    @property
    def pipes(self) -> PipeCounts:
        """The numbers of its pipes."""
        ...

    def count_steps(self, beat: memoryview[int]) -> Callable[[Task], object]:
        """A function to be called before each step of a task: the first word grows, and frames pass (`turn_if_due`)."""
        ...

    def opened(self) -> AbstractContextManager[object]:
        """Close the relay's own descriptors at the end.

        Raises:
            OSError: no descriptor is left for a single pipe.
        """
        ...

    async def run(self) -> None:
        """Move bytes and keep deadlines until cancelled."""

    async def splice(self, spec: TunnelSpec[Owner]) -> TunnelEnd:
        """Relay between two sockets until both directions are over.

        The caller owns the sockets and closes them afterwards. A cancelled `splice` leaves both as they are; parked
        bytes are lost.

        Raises:
            OSError: no descriptor is left for a pipe (EMFILE, ENFILE); nothing has been sent then.
        """
        ...

    def end(self, view: TunnelView[Owner], closer: Side, reason: str) -> None:
        """End a tunnel, if it is still alive."""

    def end_all(self, closer: Side, reason: str) -> None:
        """End every tunnel, as at the deadline of a drain."""

    def let_go(self) -> None:
        """Leave every tunnel to the vault: close all descriptors; the vault's duplicates keep the connections open."""
