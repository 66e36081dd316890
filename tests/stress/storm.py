"""A storm of tunnels through an edge, every byte of which is looked at.

    async with storming(edge.address, edge.site) as storm:
        storm.keep(100)
        storm.churn(20)
        await storm.full()
        ...  # what the edge has to bear
        report = await storm.finish()
    report.check()

Clients and pods live in this process; the edge needs the site's route /ws1/{pod}/.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import trio
from attrs import define

from tests.kit.site import Site
from tests.stress.ground import Ground
from tests.stress.plans import Plan, draw, draw_short
from tests.stress.report import Report

_POLL_INTERVAL = 0.1  # seconds between two looks
_PODS = 4  # of each width


@define(eq=False)
class Storm:
    """What goes on; see above."""

    _ground: Ground
    _rng: Random
    _kept: int = 0

    @property
    def report(self) -> Report:
        """The counts so far."""
        return self._ground.report

    def keep(self, tunnels: int, seconds: float = 8.0) -> None:
        """Keep so many tunnels alive from now on: when one ends as it should, another one starts.

        Args:
            tunnels: how many.
            seconds: how long one lives at most.
        """
        self._kept += tunnels
        for _ in range(tunnels):
            self._ground.nursery.start_soon(self._keep_one, seconds)

    def churn(self, rate: float) -> None:
        """Make so many short calls a second from now on."""
        self._ground.nursery.start_soon(self._churn, rate)

    async def call(self, plan: Plan) -> bool:
        """Make one call of your own; whether it became a tunnel."""
        return await self._ground.call(plan)

    async def full(self) -> None:
        """Wait until as many tunnels have been opened as are to be kept."""
        with trio.fail_after(self._ground.patience):
            while self._ground.opened < self._kept:  # noqa: ASYNC110 - once
                await trio.sleep(_POLL_INTERVAL)

    async def finish(self) -> Report:
        """Start nothing new, and let all tunnels come to their ends."""
        self._ground.hurry = True
        while self._ground.busy:  # noqa: ASYNC110 - once; the ground sees to it that it comes true
            await trio.sleep(_POLL_INTERVAL)
        return self.report

    async def _keep_one(self, seconds: float) -> None:
        while not self._ground.hurry:
            if not await self.call(draw(self._rng, seconds)):
                await trio.sleep(_POLL_INTERVAL)

    async def _churn(self, rate: float) -> None:
        while not self._ground.hurry:
            self._ground.nursery.start_soon(self.call, draw_short(self._rng))
            await trio.sleep(1 / rate)


@asynccontextmanager
async def storming(
    address: tuple[str, int], site: Site, *, seed: int = 1, patience: float = 10.0, answered: float = 5.0
) -> AsyncIterator[Storm]:
    """Have pods, and somebody who watches.

    Args:
        address: the edge's.
        site: where the pods can be; eight places are taken.
        seed: decides what all do.
        patience: seconds after which due bytes, or a due end, are said not to come.
        answered: seconds that a handshake may take.
    """
    rng = Random(seed)
    async with trio.open_nursery() as nursery:
        wide = [site.take() for _ in range(_PODS)]
        thin = [site.take() for _ in range(_PODS)]
        ground = Ground(address, wide, thin, nursery, patience, answered)
        await ground.start()
        yield Storm(ground, rng)
        nursery.cancel_scope.cancel()
