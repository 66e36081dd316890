"""What the hub asks of whoever moves the bytes.

A mover has one epoll for the sockets of its tunnels and moves what its events stand for. It knows no task and no vault,
calls nobody back, and neither makes nor closes a descriptor of a tunnel: pipes are given to it clean, and sockets are
its caller's. What it has to say it keeps until it is asked. `mover.py` is the specification; each implementation is
held to the same tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from splicer.relay.api import TunnelEnd, TunnelSpec
from splicer.relay.pipes import Pipe
from splicer.relay.tunnel import Leg, Tunnel


class MoverPipes(Protocol):
    """The pipes that a mover has and no tunnel uses: `clean_pipes.CleanPipes`."""

    @property
    def count(self) -> int:
        """How many clean ones wait, without the one that is put by."""
        ...

    @property
    def has_last(self) -> bool:
        """Whether one is put by."""
        ...

    def give(self, pipe: Pipe) -> None:
        """Have a pipe that is clean and known to the vault. The first one is put by for when there is no other."""

    def take(self, least: int = 0) -> Pipe | None:
        """Give up a clean pipe, if there is one into which so many bytes fit."""
        ...

    def take_last(self) -> Pipe | None:
        """Give up the pipe that is put by, if it is there."""
        ...

    def take_spent(self) -> Sequence[Pipe]:
        """Pipes that are to be closed: dirty, or too many."""
        ...


class MoverNews(Protocol):
    """What a mover has to say: `news.News`."""

    pending: bool

    def take_ended(self) -> Sequence[Tunnel]:
        """Those that are over; each has its `result`, and the `error` that ended it, if one did."""
        ...

    def take_flushing(self) -> Sequence[Leg]:
        """Legs that are to deliver what they took before their tunnel is ended (`flush.py`)."""
        ...

    def take_due(self) -> float:
        """The nearest deadline that was set since the last call, in seconds on Trio's clock."""
        ...


class ByteMover(Protocol):
    """Moves bytes in plain calls; `now` is in seconds on Trio's clock."""

    @property
    def pipes(self) -> MoverPipes:
        """Its pipes."""
        ...

    @property
    def news(self) -> MoverNews:
        """What it has to say."""
        ...

    @property
    def frames(self) -> int:
        """How many events there were, and one more for each KiB of a large piece."""
        ...

    @property
    def starved(self) -> int:
        """How many directions wait for a pipe, and for nothing else."""
        ...

    def fileno(self) -> int:
        """The epoll's: readable while there is something to move."""
        ...

    def close(self) -> None:
        """Close the mover's own descriptors."""

    def make(self, spec: TunnelSpec[Any], now: float) -> Tunnel:
        """A tunnel in which nothing moves yet. Its legs may get pipes with bytes (`load`, `resume`) before `add`."""
        ...

    def add(self, tunnel: Tunnel, now: float) -> None:
        """Move what is in its pipes, and from now on what comes. It may be over at once.

        Raises:
            OSError: its sockets can't be watched (epoll_ctl(2)).
        """

    def step(self, now: float) -> int:
        """Move what one batch of events stands for; how many events there were."""
        ...

    def feed(self, now: float) -> None:
        """Go on with those that waited for a pipe: some may be there."""

    def lose(self, leg: Leg, now: float) -> None:
        """The peer of this leg has vanished, though the kernel keeps its connection."""

    def end(self, tunnel: Tunnel, end: TunnelEnd) -> None:
        """End a tunnel. If one of its connections broke, that was its end, whatever `end` says."""

    def drop(self, tunnel: Tunnel) -> None:
        """Forget a tunnel: nothing of it moves any more, and its pipes are spent."""
