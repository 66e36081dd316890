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

from splicer.relay.mover_interface import ByteMover

_OWN = Path("/proc/self")
_EPOLL = "anon_inode:[eventpoll]"


class TrioWait:
    """Waits in Trio's place while it runs, or, where that can't be, calls `turn` when the mover has events.

    Args:
        mover: has the events.
        turn: handles the events that are pending; returns whether a task is to run now.
        settle: handles the mover's news; returns the same.
    """

    def __init__(self, mover: ByteMover, turn: Callable[[], bool], settle: Callable[[], bool]) -> None:
        self.hosts = False  # whether it waits in Trio's place now
        self._mover = mover
        self._turn = turn
        self._settle = settle
        self._bell = -1  # an eventfd on which a task waits: it ends Trio's own wait
        self._failure: BaseException | None = None

    @property
    def is_failing(self) -> bool:
        """Whether `fail` was called: nothing may be moved any more."""
        return self._failure is not None

    def fail(self, error: BaseException) -> None:
        """Have `run` raise `error`: Trio would only log what an instrument raises."""
        self._failure = error
        self._ring()

    async def run(self) -> None:
        """Move bytes until cancelled.

        Raises:
            OSError: no descriptor is left (eventfd(2)).
        """
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._hear)
                epoll = epoll_of_trio(self._bell)
                if epoll is not None and self._mover.invite(epoll):
                    await self._host_forever()
                while True:
                    await trio.lowlevel.wait_readable(self._mover.fileno())
                    if not self.is_failing:
                        self._turn()
        finally:
            bell, self._bell = self._bell, -1
            os.close(bell)

    async def _hear(self, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            await trio.lowlevel.wait_readable(self._bell)
            os.eventfd_read(self._bell)
            if self._failure is not None:
                raise self._failure

    async def _host_forever(self) -> None:
        instrument = _WaitInstrument(self._host)
        trio.lowlevel.add_instrument(instrument)
        self.hosts = True
        try:
            await trio.sleep_forever()
        finally:
            self.hosts = False
            trio.lowlevel.remove_instrument(instrument)

    def _ring(self) -> None:
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    # Trio has computed its timeout before. So if a task is to run, or the time is over, the bell ends Trio's own wait;
    # a look with no timeout needs no end.
    def _host(self, timeout: float) -> None:
        if self._failure is not None:
            return
        try:
            if timeout <= 0:
                if self._mover.look():
                    self._turn()
            elif self._wait(timeout):
                self._ring()
        except BaseException as error:  # noqa: BLE001 - see `fail`
            self.fail(error)

    def _wait(self, timeout: float) -> bool:
        """Return whether Trio must not wait, though its epoll has no event."""
        mover, now = self._mover, trio.current_time()
        until = now + timeout
        while True:
            found = mover.host(now, until)
            if mover.news.pending and self._settle():
                return not found
            now = trio.current_time()
            if found or now >= until:
                return not found


class _WaitInstrument(trio.abc.Instrument):
    def __init__(self, wait: Callable[[float], None]) -> None:
        self.before_io_wait = wait  # type: ignore[method-assign, assignment]  # a method would only call it


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
    frame: FrameType | None = sys._getframe()
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
