"""A storm of tunnels through an edge; every byte is checked.

    async with storming(edge.address, edge.site) as storm:
        storm.keep(100)
        storm.churn(20)
        await storm.full()
        ...  # the faults that the edge has to survive
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

_POLL_INTERVAL = 0.1  # seconds between two checks
_PODS = 4  # of each width


@define(eq=False)
class Storm:
    """A running storm; see above."""

    _ground: Ground
    _rng: Random
    _kept: int = 0

    @property
    def report(self) -> Report:
        """The counts so far."""
        return self._ground.report

    def keep(self, tunnels: int, seconds: float = 8.0) -> None:
        """Keep a number of tunnels open from now on: when one ends as planned, another one starts.

        Args:
            tunnels: the number of tunnels.
            seconds: the longest life of a tunnel.
        """
        self._kept += tunnels
        for _ in range(tunnels):
            self._ground.nursery.start_soon(self._keep_one, seconds)

    def churn(self, rate: float) -> None:
        """Make a number of short calls a second from now on."""
        self._ground.nursery.start_soon(self._churn, rate)

    async def call(self, plan: Plan) -> bool:
        """Make one given call; return whether it became a tunnel."""
        return await self._ground.call(plan)

    async def full(self) -> None:
        """Wait until the kept number of tunnels has been opened."""
        with trio.fail_after(self._ground.patience):
            while self._ground.opened < self._kept:  # noqa: ASYNC110 - once
                await trio.sleep(_POLL_INTERVAL)

    async def finish(self) -> Report:
        """Start no new tunnels, and wait until all have ended."""
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
