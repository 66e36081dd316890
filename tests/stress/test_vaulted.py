"""The same with the vault in a process of its own: then calls outlive all of `splicer run`."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define

from tests.kit.edge import Edge, running
from tests.kit.site import Site
from tests.kit.vaults import Vault, vault_at
from tests.kit.wire import ask, until
from tests.stress.plans import BEHAVIOURS
from tests.stress.trials import TIMEOUT, Tell, files_of, kill_workers, storm, text_of

_SLACK = 4  # descriptors of the vault's that may be there for no reason of ours


@define
class Lives:
    """One `splicer run` after the other, at one vault.

    Args:
        edge: the one that runs now.
    """

    vault: Vault
    edge: Edge
    _stack: ExitStack

    async def end_and_begin(self, *, kill: bool) -> None:
        """Kill all of its processes at once, or hand over; then start it anew."""
        if kill:
            self.edge.kill()
        else:
            self.edge.signal(signal.SIGQUIT)
            assert await self.edge.exit_code() == 0
        address = self.edge.address
        self.edge = await _start(self._stack, self.edge.site, self.vault.path)
        assert self.edge.address == address


async def _start(stack: ExitStack, site: Site, vault: Path) -> Edge:
    edge = running(text_of(site, 2), site, options=("--vault", str(vault)))
    return await trio.to_thread.run_sync(stack.enter_context, edge)  # the storm goes on meanwhile


@asynccontextmanager
async def living(directory: Path) -> AsyncIterator[Lives]:
    """Begin; in the end the vault has nothing left."""
    site = Site(pods=8)
    with vault_at(directory / "vault") as vault:
        before = len(files_of(vault.pid))
        with ExitStack() as stack:
            lives = Lives(vault, await _start(stack, site, vault.path), stack)
            yield lives
            await until(lambda: not vault.tunnels())
        await until(lambda: len(files_of(vault.pid)) <= before + _SLACK)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(("ends", "kill"), [(6, True), (4, False)], ids=["kills", "handovers"])
async def test_calls_outlive_all_of_the_edge(*, ends: int, kill: bool, tmp_path: Path, tell: Tell) -> None:
    async with living(tmp_path) as lives:

        async def fault() -> None:
            for _ in range(ends):
                await lives.end_and_begin(kill=kill)
                await trio.sleep(0.5)

        report = await storm(fault, lives.edge, tell, tunnels=110)
        orphaned = lives.vault.find("tunnels_orphaned")
    assert sum(line["tunnels"] for line in orphaned) >= 110 * ends // 2
    assert sum(line["pipes"] for line in orphaned) > 0
    assert set(report.completed) == set(BEHAVIOURS)


@pytest.mark.slow
@pytest.mark.alone
async def test_calls_outlive_workers(tmp_path: Path, tell: Tell) -> None:
    async with living(tmp_path) as lives:

        async def fault() -> None:
            await kill_workers(lives.edge, 24, 2.0, refill=False)

        report = await storm(fault, lives.edge, tell, tunnels=110)
        assert sum(line["pipes"] for line in lives.vault.find("tunnels_orphaned")) > 0
    assert set(report.completed) == set(BEHAVIOURS)


@pytest.mark.slow
@pytest.mark.alone
async def test_calls_outlive_workers_and_vault_in_turn(tmp_path: Path, tell: Tell) -> None:
    """A vault that is killed costs nothing while workers have all calls, and protects again when it is back."""
    async with living(tmp_path) as lives:

        async def fault() -> None:
            for _ in range(4):
                lives.edge.mark()
                lives.vault.kill()
                await until(lambda: _told(lives.edge, "vault_lost") > 30)
                await trio.to_thread.run_sync(lives.vault.start)
                await until(lambda: _told(lives.edge, "vault_connected") > 30)
                await _all_are_held_and_served(lives)
                await kill_workers(lives.edge, 2, 0.1, refill=True)
                await _all_are_held_and_served(lives)

        await storm(fault, lives.edge, tell, tunnels=60)


def _told(edge: Edge, event: str) -> int:
    """How many tunnels those workers have who have told of this."""
    return sum(line.get("tunnels", 0) for line in edge.find(event))


# A call is safe from the death of one of the two while both have it.
async def _all_are_held_and_served(lives: Lives) -> None:
    with trio.fail_after(TIMEOUT):
        served = -1
        while served != lives.vault.tunnels():
            told = await ask(lives.edge.address, "GET", "/status")
            served = int(told.body.split()[2]) - 1  # but for the one that asks
