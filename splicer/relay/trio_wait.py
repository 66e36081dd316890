"""Waiting in Trio's place: frames are moved without a step of any task.

A round of Trio's loop costs more than a frame. So Trio's own epoll is one of the descriptors in the mover's, and when
Trio is about to wait, the mover waits instead, and moves frames until Trio's epoll has an event.

Trio has no public name for its epoll. The kernel shows which descriptors an epoll watches (proc(5), /proc/PID/fdinfo):
the one that watches a descriptor on which a task of ours waits is Trio's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import trio

_OWN = Path("/proc/self")
_EPOLL = "anon_inode:[eventpoll]"


class Bell:
    """An eventfd on which a task waits: after `ring`, Trio's wait ends at once.

    Raises:
        OSError: no descriptor is left (eventfd(2)).
    """

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def ring(self) -> None:
        """Wake the task."""
        os.eventfd_write(self._fd, 1)

    async def rung(self) -> None:
        """Wait for `ring`."""
        await trio.lowlevel.wait_readable(self._fd)
        with suppress(BlockingIOError):
            os.eventfd_read(self._fd)

    def close(self) -> None:
        """Close the descriptor; nobody waits any more."""
        os.close(self._fd)


class WaitInstrument(trio.abc.Instrument):
    """Waits in Trio's place.

    Args:
        wait: called with the seconds that Trio is about to wait for; it must not raise, since Trio would only log that.
    """

    def __init__(self, wait: Callable[[float], None]) -> None:
        self._wait = wait

    def before_io_wait(self, timeout: float) -> None:
        """Called by Trio when it is about to wait for `timeout` seconds; 0: it only looks for events."""
        self._wait(timeout)


def epoll_of_trio(bell: int) -> int | None:
    """The descriptor of Trio's epoll.

    Args:
        bell: a descriptor on which a task of this run waits.

    Returns:
        None: nobody may wait in Trio's place, because the clock is a mock, or Trio is the guest of another loop; or no
        single epoll of this process watches `bell`, because this Trio waits in some other way, or /proc isn't there.
    """
    if _is_mocked() or not _is_run_by_trio():
        return None
    found = list(_epolls_with(bell))
    return found[0] if len(found) == 1 else None


def _is_mocked() -> bool:
    testing = sys.modules.get("trio.testing")  # without it, there is no mock clock
    return testing is not None and isinstance(trio.lowlevel.current_clock(), testing.MockClock)


# The steps of a guest's tasks are called by the host's loop.
def _is_run_by_trio() -> bool:
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - it is documented (sys._getframe)
    while frame is not None and frame.f_code is not trio.run.__code__:
        frame = frame.f_back
    return frame is not None


def _epolls_with(watched: int) -> Iterator[int]:
    with suppress(OSError):
        for link in (_OWN / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile: it was the listing's own
                if str(link.readlink()) == _EPOLL and watched in _watched_by(link.name):
                    yield int(link.name)


def _watched_by(epoll: str) -> list[int]:
    lines = (_OWN / "fdinfo" / epoll).read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("tfd:")]
