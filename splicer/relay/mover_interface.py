"""The interface between the hub and a mover.

A mover has one epoll for the sockets of its tunnels, and moves bytes at their events. It uses no task and no vault, has
no callbacks, and neither makes nor closes a descriptor of a tunnel: it is given clean pipes, and the caller owns the
sockets. It keeps its news until the hub asks. `mover.py` and `directions.py` are the specification; every
implementation has to pass the same tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import trio

from splicer.relay.api import TunnelEnd, TunnelSpec
from splicer.relay.pipes import Pipe
from splicer.relay.tunnel import Leg, Tunnel


class MoverPipes(Protocol):
    """The pipes that a mover has and no tunnel uses: `clean_pipes.CleanPipes`."""

    @property
    def count(self) -> int:
        """The number of clean pipes, without the reserve."""
        ...

    @property
    def has_last(self) -> bool:
        """Whether there is a reserve pipe."""
        ...

    def give(self, pipe: Pipe) -> None:
        """Add a clean, registered pipe. If there is no reserve pipe, it becomes that."""

    def take(self, least: int = 0) -> Pipe | None:
        """Take a clean pipe of at least `least` bytes, if there is one."""
        ...

    def take_last(self) -> Pipe | None:
        """Take the reserve pipe, if there is one."""
        ...

    def take_spent(self) -> Sequence[Pipe]:
        """Take the pipes that are to be closed: they hold bytes, or are too many."""
        ...


class MoverNews(Protocol):
    """A mover's notes for the hub: `news.News`."""

    pending: bool

    def take_ended(self) -> Sequence[Tunnel]:
        """Take the tunnels that have ended; each has its `result`, and its `error` if a bug ended it."""
        ...

    def take_flushing(self) -> Sequence[Leg]:
        """Take the legs that must deliver their bytes before their tunnel is ended (`flush.py`)."""
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
        """Its notes for the hub."""
        ...

    @property
    def batches(self) -> int:
        """The number of batches of events so far: each is a wake-up, or a look between two steps of tasks."""
        ...

    @property
    def starved(self) -> int:
        """The number of directions that wait only for a pipe."""
        ...

    def fileno(self) -> int:
        """The epoll's descriptor, which is readable while there is something to move."""
        ...

    def close(self) -> None:
        """Close the mover's own descriptors."""

    def make(self, spec: TunnelSpec[Any], now: float) -> Tunnel:
        """Make a tunnel that moves nothing yet; its legs may get pipes with bytes (`load`, `resume`) before `add`."""
        ...

    def add(self, tunnel: Tunnel, now: float) -> None:
        """Start a tunnel: move the bytes in its pipes, and then those that come. It may be over at once.

        Raises:
            OSError: its sockets can't be watched (epoll_ctl(2)).
        """

    def attend(self, turn: Callable[[], object], delay: float) -> Callable[[], object]:
        """A function that other code calls between the parts of its work, to let frames pass.

        Args:
            turn: called by it if tunnels have events, and the last look at them was `delay` seconds ago; by the mover
                in Python if they may have some.
            delay: seconds.
        """
        ...

    def count_steps(self, beat: memoryview[int]) -> Callable[[trio.lowlevel.Task], object]:
        """The `before_task_step` of an instrument: it counts in the first word, and calls the function of `attend`."""
        ...

    def look(self) -> bool:
        """Whether there may be something for `step`."""
        ...

    def step(self, now: float) -> bool:
        """Handle one batch of events; return whether one of them was a tunnel's."""
        ...

    def invite(self, epoll: int) -> bool:
        """Watch another epoll too, for `host`; return whether it can be watched (epoll(7))."""
        ...

    def host(self, now: float, until: float) -> bool:
        """Wait and move bytes until the time `until`, or there are `news`, or the invited epoll has events.

        Returns:
            Whether the invited epoll has events.
        """
        ...

    def feed(self, now: float) -> None:
        """Continue the directions that wait for a pipe: pipes may be there now."""

    def lose(self, leg: Leg, now: float) -> None:
        """Handle that the peer of this leg has vanished, though the kernel keeps its connection."""

    def end(self, tunnel: Tunnel, end: TunnelEnd) -> None:
        """End a tunnel. If one of its connections broke before, that is its end, whatever `end` says."""

    def drop(self, tunnel: Tunnel) -> None:
        """Forget a tunnel: no byte of it moves any more, and its pipes are spent."""
