"""The relay as the rest of the program sees it: what it is given, what it does, and what it shows.

Nobody outside this package knows how bytes are moved, nor reads a leg.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

import trio
from attrs import define, field, frozen

from splicer.errors import Side

Owner = TypeVar("Owner")
Owner_co = TypeVar("Owner_co", covariant=True)


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
        reason: "eof", "reset", "timed_out", "idle", "half_closed", "lifetime" or the word given to `Relay.end`.
        reset: the leg that did not cause the end is to be reset, not closed: a reset is passed on as one.
    """

    closer: Side
    reason: str
    reset: bool = False


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


@define
class ByteCounts:
    """What went through a tunnel, in bytes; the 101 is no byte of it."""

    to_pod: int = 0
    to_client: int = 0


@frozen
class TunnelSpec(Generic[Owner]):
    """All that the relay must know of a tunnel.

    Args:
        client: connected and non-blocking.
        pod: connected and non-blocking.
        limits: the deadlines.
        owner: goes with the tunnel wherever it is shown (`Relay.views`).
        counts: gets what went through, whatever the end.
        to_client: bytes that go to the client before any other (the 101, and what came with it).
        to_pod: bytes that the client sent early.
        uncounted: how many of the first bytes to the client are no bytes of the tunnel: the 101.
        key: the tunnel's in the journal; even.
        register: makes the tunnel known to the vault; awaited when all that came early is in pipes, and before a byte
            of it leaves.
        past: what it did with another worker.
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


class TunnelView(Protocol[Owner_co]):
    """A tunnel as others see it: its numbers are those of this moment, and of use only while it is alive."""

    @property
    def owner(self) -> Owner_co:
        """What the caller of `splice` knows it by."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it has not ended; nothing else may be asked of one that has."""
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
        """The client's and the pod's, to be asked for their TCP_INFO."""
        ...

    def idle(self, now: float) -> float:
        """Seconds without a byte, at `now` on Trio's clock."""
        ...


class PipeCounts(Protocol):
    """How many pipes there are."""

    @property
    def idle(self) -> int:
        """Clean ones that wait."""
        ...

    @property
    def in_use(self) -> int:
        """Those that hold bytes."""
        ...


class LiveTunnels(Protocol[Owner_co]):
    """Who shows tunnels."""

    def views(self) -> Sequence[TunnelView[Owner_co]]:
        """Those that are alive, oldest first; what was returned does not change when tunnels come and go."""
        ...


class Relay(LiveTunnels[Owner], Protocol[Owner]):
    """Splices any number of tunnels; one instance a worker, its `run` in the worker's nursery."""

    @property
    def tunnels(self) -> int:
        """How many tunnels are alive."""
        ...

    @property
    def left(self) -> int:
        """How many were left to the vault."""
        ...

    @property
    def pipes(self) -> PipeCounts:
        """Its pipes, to be counted."""
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

        The caller owns the sockets and closes them afterwards. A cancelled `splice` leaves both as they are,
        with what was parked lost.

        Raises:
            OSError: no descriptor is left for a pipe (EMFILE, ENFILE); nothing has been sent then.
        """
        ...

    def turn_if_due(self, task: trio.lowlevel.Task | None = None) -> None:
        """Move a batch out of turn when the last one is too long ago: more could be a stream's, without end.

        Args:
            task: whose step begins; None: another task's goes on.
        """

    def end(self, view: TunnelView[Owner], closer: Side, reason: str) -> None:
        """End a tunnel, if it is still alive."""

    def end_all(self, closer: Side, reason: str) -> None:
        """End every tunnel, as a drain does whose time is up."""

    def let_go(self) -> None:
        """Leave every tunnel to the vault: close descriptors, which ends no connection, for duplicates are there."""
