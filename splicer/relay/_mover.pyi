"""Types of `_mover.c`."""

from collections.abc import Callable
from typing import Any

class Pipe:
    """The descriptors of a pipe, its place in the journal, and its size in bytes."""

    read_fd: int
    write_fd: int
    place: int
    size: int

class Tunnel:
    """What a mover changes of a tunnel."""

    last: float

class Leg:
    """What a mover uses of a leg."""

    peer: Any
    tunnel: Any
    pipe: Any
    parked: int
    total: int
    word: int
    fd: int
    mask: int
    eof: bool
    over: bool
    discard: bool
    starved: bool
    plain: bool

class Engine:
    """Moves the bytes of the usual events.

    Args:
        epoll: the mover's epoll.
        words: the journal.
        clean: the clean pipes.
        starved: the legs that wait for a pipe.
        give: called with a pipe that has been drained.
    """

    why: int
    error: int
    mask: int
    now: float
    batches: int
    invited: int
    changed: bool

    def __init__(
        self, epoll: int, words: Any, clean: list[Any], starved: list[Any], give: Callable[[Any], None]
    ) -> None: ...
    def run(self, now: float, until: float, once: bool, /) -> Any:
        """Go on with the batch, wait for others until the time `until`, and return when Python has something to do.

        Args:
            now: seconds on Trio's clock.
            until: the same.
            once: handle one batch, without a wait.

        Returns:
            A leg: `why`, `error` and `mask` say what is to be done; then `run` must be called again. Or, with no event
            of a batch left, whether the invited epoll has events.
        """

    def look(self) -> bool:
        """Whether there are events of tunnels now; the next `run` begins with them."""

    def attend(self, turn: Callable[[], object], delay: float, /) -> None:
        """See `ByteMover`; `turn_if_due` is the function."""

    def turn_if_due(self) -> object:
        """See `attend`."""

    def count_steps(self, beat: memoryview, /) -> None:
        """Have `before_task_step` count in the first word."""

    def before_task_step(self, task: Any, /) -> object:
        """Count, and `turn_if_due`."""

    def watch(self, leg: Leg, /) -> None:
        """Register the events that this leg needs; raises OSError (epoll_ctl(2))."""

    def forget(self, leg: Leg, /) -> bool:
        """Watch this leg no longer, and forget it; return whether it has a pipe."""

    def close(self) -> None:
        """Release the buffers."""

    def get(self, fd: int, /) -> Leg | None:
        """The leg with this descriptor."""

    def __setitem__(self, fd: int, leg: Any, /) -> None: ...
    def __delitem__(self, fd: int, /) -> None: ...
