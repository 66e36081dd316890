"""Kill workers, as the kernel or an operator would."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import trio
from attrs import define

_WORKER = re.compile(rb"splicer: worker (\d+)\b")
_LOOK = 0.005  # seconds between two looks


def worker_pids(edge_pid: int) -> dict[int, int]:
    """The workers that serve now, by slot: a spare is none.

    Args:
        edge_pid: the supervisor's.
    """
    return {int(title[1]): pid for pid in _descendants(edge_pid) if (title := _WORKER.match(_title(pid)))}


def _descendants(pid: int) -> list[int]:
    """Its children and theirs; whoever ends meanwhile may be missing, with its own."""
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def _title(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


async def kill_and_see(pid: int) -> None:
    """SIGKILL, and wait until the process is dead: it holds no descriptor any more."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            await trio.lowlevel.wait_readable(handle)
        finally:
            os.close(handle)


@define
class Killer:
    """Kills workers at random instants.

    Args:
        workers: which ones there are, by slot, such as ``lambda: worker_pids(edge.pid)``.
        rng: decides who and when.
        pause: seconds between two kills at most.
        refill: after each kill, wait until its slot is filled again.
        patience: seconds that this, or waiting for any worker at all, may take.
        kills: so many so far.
        slowest_refill: seconds from a death to a worker in its slot; 0 without `refill`.
    """

    workers: Callable[[], dict[int, int]]
    rng: Random
    pause: float = 0.3
    refill: bool = False
    patience: float = 10.0
    kills: int = 0
    slowest_refill: float = 0.0

    async def run(self, kills: int) -> None:
        """Kill so many."""
        while self.kills < kills:
            await self._until(self.workers)
            await trio.sleep(self.rng.uniform(0, self.pause))  # here, lest each one dies as soon as it has come
            await self._one()

    async def _one(self) -> None:
        if not (now := self.workers()):
            return
        slot, pid = self.rng.choice(sorted(now.items()))
        await kill_and_see(pid)
        self.kills += 1
        if self.refill:
            dead = trio.current_time()
            await self._until(lambda: self.workers().get(slot, pid) != pid)
            self.slowest_refill = max(self.slowest_refill, trio.current_time() - dead)

    async def _until(self, there: Callable[[], object]) -> None:
        with trio.fail_after(self.patience):
            while not there():  # noqa: ASYNC110 - what other processes do sets no event
                await trio.sleep(_LOOK)
