"""Kills workers, as the kernel or an operator would."""

from __future__ import annotations

from collections.abc import Callable, Set
from random import Random
from typing import TypeVar

import trio
from attrs import define

from tests.kit.workers import kill_and_see

_POLL_INTERVAL = 0.005  # seconds between two checks
_ADOPTION_SECONDS = 0.1  # seconds after which a worker has all tunnels of its slot
T = TypeVar("T")


@define
class Killer:
    """Kills workers at random times, in salvos: the successor of a killed worker may be killed while it takes over.

    Args:
        workers: returns the workers by slot, such as ``lambda: worker_pids(edge.pid)``.
        rng: decides the worker and the time.
        pause: longest time between two salvos, seconds.
        refill: before each salvo, wait until all slots are filled again.
        salvo: most kills of one slot in a row.
        patience: time limit of a refill, or of waiting for any worker at all, seconds.
        kills: the number of kills so far.
        slowest_refill: longest time from a salvo's end to a worker in its slot, seconds; 0 without `refill`.
    """

    workers: Callable[[], dict[int, int]]
    rng: Random
    pause: float = 0.3
    refill: bool = False
    salvo: int = 3
    patience: float = 30.0
    kills: int = 0
    slowest_refill: float = 0.0

    async def run(self, kills: int) -> None:
        """Kill a number of workers."""
        while self.kills < kills:
            slots = (await self._until(self.workers)).keys()
            slot = self.rng.choice(sorted(slots))
            await trio.sleep(self.rng.uniform(0, self.pause))
            for count in range(min(self.rng.randint(1, self.salvo), kills - self.kills)):
                await self._one(slot, at_once=count > 0)
            if self.refill:
                await self._refilled(slots)

    async def _one(self, slot: int, *, at_once: bool) -> None:
        await self._until(lambda: slot in self.workers())
        if at_once:
            await trio.sleep(self.rng.uniform(0, _ADOPTION_SECONDS))
        if pid := self.workers().get(slot):
            await kill_and_see(pid)
            self.kills += 1

    async def _refilled(self, slots: Set[int]) -> None:
        dead = trio.current_time()
        await self._until(lambda: self.workers().keys() >= slots)
        self.slowest_refill = max(self.slowest_refill, trio.current_time() - dead)

    async def _until(self, look: Callable[[], T]) -> T:
        with trio.fail_after(self.patience):
            while not (seen := look()):  # noqa: ASYNC110 - other processes set no event
                await trio.sleep(_POLL_INTERVAL)
        return seen
