"""The vault's own end costs no call: it goes and comes, or stands still."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.e2e.vault.calls import all_are_held, calls, of_workers
from tests.kit.calls import tunnel
from tests.kit.edge import running
from tests.kit.fleet import echoes, kill_worker, kill_worker_of, several, tunnel_at
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.vaults import vault_at
from tests.kit.wire import Wire, ask, until

_PROBE = """
[[routes]]
name = "probe"
path = "/probe"
respond = { status = 200, body = "protected", unprotected = { status = 200, body = "unprotected" } }
"""


# ---- the vault goes and comes ----


async def test_a_vault_that_is_killed_and_comes_back(tmp_path: Path, site: Site, place: Place) -> None:
    with (
        vault_at(tmp_path / "vault") as vault,
        running(several(site), site, options=("--vault", str(vault.path))) as edge,
    ):
        async with calls(edge, place) as wires:
            vault.kill()
            await until(lambda: len(of_workers(edge, "vault_lost")) == 2)
            await edge.line("vault_lost", role="supervisor")
            for wire in wires:
                await echoes(wire)
            async with calls(edge, place) as unprotected:
                edge.mark()
                await trio.to_thread.run_sync(vault.start)
                await until(lambda: len(of_workers(edge, "vault_connected")) == 2)
                await edge.line("vault_connected", role="supervisor")
                await all_are_held(vault, 4)
                await until(lambda: vault.keeps(edge.address))
                for slot in (1, 2):
                    await kill_worker(edge, slot)
                    for wire in (*wires, *unprotected):
                        await echoes(wire)
        await all_are_held(vault, 0)
    assert all(line["adopted"] >= 1 for line in edge.find("tunnel_close"))


@pytest.mark.slow
async def test_what_is_parked_when_the_vault_comes_back(tmp_path: Path, site: Site, nursery: trio.Nursery) -> None:
    """Bytes in a pipe are known to the new vault before anything else happens to them."""
    bulk, size, pour = site.take(), 64 << 20, trio.Event()  # more than all buffers of the kernel together

    async def pod(wire: Wire) -> None:
        await wire.send(bytes(range(256)) * (size // 256))
        pour.set()
        await wire.end()

    await tunnel_pod(nursery, bulk.address, bulk.port, pod)
    with (
        vault_at(tmp_path / "vault") as vault,
        running(several(site), site, options=("--vault", str(vault.path))) as edge,
    ):
        async with tunnel_at(edge, 1, f"/ws/{bulk.name}/x") as call:
            first = await call.exactly(1000)
            await trio.sleep(0.3)
            assert not pour.is_set()
            vault.kill()
            await until(lambda: of_workers(edge, "vault_lost"))
            await trio.to_thread.run_sync(vault.start)
            await all_are_held(vault, 1)
            await kill_worker_of(edge, call)
            assert first + await call.exactly(size - 1000) == bytes(range(256)) * (size // 256)
            assert vault.find("tunnels_orphaned")[-1]["pipes"] == 1


@pytest.mark.slow
async def test_an_edge_that_begins_before_its_vault(tmp_path: Path, site: Site, place: Place) -> None:
    path = tmp_path / "vault"
    with running(several(site), site, options=("--vault", str(path))) as edge:
        assert edge.find("vault_lost", role="supervisor")
        async with calls(edge, place) as wires:
            edge.mark()
            with vault_at(path) as vault:
                await edge.line("vault_connected", role="supervisor")
                await all_are_held(vault, 2)
                await kill_worker(edge, 1)
                for wire in wires:
                    await echoes(wire)
                await edge.wait_lines(1, "worker_serving")
                edge.mark()
            await edge.line("vault_lost", role="supervisor")  # it has ended in order


# ---- who holds the calls stands still ----


@pytest.mark.slow
@pytest.mark.parametrize("which", ["supervisor", "vault"])
async def test_calls_open_though_who_holds_them_stands_still_and_are_held_when_it_goes_on(
    tmp_path: Path, site: Site, place: Place, which: str
) -> None:
    async with AsyncExitStack() as stack:
        vault = stack.enter_context(vault_at(tmp_path / "vault"))
        options = ("--vault", str(vault.path)) if which == "vault" else ()
        edge = stack.enter_context(running(several(site, 1, routes=_PROBE), site, options=options))
        os.kill(vault.pid if which == "vault" else edge.pid, signal.SIGSTOP)
        try:
            wires = [  # more than a channel holds messages
                await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/{number}")) for number in range(250)
            ]
            assert (await ask(edge.address, "GET", "/probe")).body == b"unprotected"
            assert len(of_workers(edge, "vault_lost")) == 1
            for wire in wires[::25]:
                await echoes(wire)
            edge.mark()
        finally:
            os.kill(vault.pid if which == "vault" else edge.pid, signal.SIGCONT)
        await until(lambda: of_workers(edge, "vault_connected"))
        assert (await ask(edge.address, "GET", "/probe")).body == b"protected"
        await kill_worker(edge, 1)
        for wire in wires:
            await echoes(wire)
