"""Calls outlive all of `splicer run`: it is killed, hands over, drains, stops, is upgraded."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.e2e.test_command_line import splicer
from tests.e2e.vault.calls import all_are_held, calls, of_workers
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker, kill_worker_of, several, tunnel_at
from tests.kit.pods import raw_pod
from tests.kit.site import Place, Site
from tests.kit.vaults import Vault, vault_at
from tests.kit.wire import Wire, ask, dial, request, until
from tests.kit.workers import worker_pids


@asynccontextmanager
async def next_life(vault: Vault, edge: Edge) -> AsyncIterator[Edge]:
    """Another `splicer run` after this one."""
    async with AsyncExitStack() as stack:
        opening = running(edge.path.read_text(), edge.site, options=("--vault", str(vault.path)))
        other = await trio.to_thread.run_sync(opening.__enter__)
        try:
            yield other
        finally:
            await trio.to_thread.run_sync(opening.__exit__, None, None, None)
        await stack.aclose()


# ---- all of `splicer run` goes and comes ----


async def test_all_is_killed(vault: Vault, edge: Edge, place: Place) -> None:
    """Calls go on, and who connects while nobody runs is answered."""
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/1") as one,
        tunnel_at(edge, 2, f"/ws/{place.name}/2") as two,
        dial(edge.address) as under_way,
    ):
        wires = [one, two]
        await under_way.send(request("GET", "/health"))  # it must be out of the accept queue, or it would survive
        assert (await under_way.reply()).status == 200
        await under_way.send(b"GET /health HTTP/1.1\r\n")
        await all_are_held(vault, 2)
        edge.kill()
        assert await under_way.end() in ("eof", "reset")
        async with dial(edge.address) as waiting:
            await waiting.send(request("GET", "/health"))
            for wire in wires:
                await wire.send(b"anybody?")
            async with next_life(vault, edge) as other:
                assert other.address == edge.address
                assert (await waiting.reply()).body == b"healthy\n"
                for wire in wires:
                    assert await wire.exactly(8) == b"anybody?"
                    await echoes(wire)
                await kill_worker(other, 1)
                for wire in wires:
                    await echoes(wire)
                for wire in wires:
                    await wire.close()
                closed = await other.wait_lines(2, "tunnel_close")
                assert {line["path"] for line in closed} == {f"/ws/{place.name}/{slot}" for slot in (1, 2)}
                assert all(line["bytes_to_pod"] == line["bytes_to_client"] == 18 for line in closed)
        await all_are_held(vault, 0)


@pytest.mark.parametrize("draining", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_handover(vault: Vault, edge: Edge, place: Place, *, draining: bool) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        if draining:
            edge.signal(signal.SIGTERM)
            await edge.line("drain")
        result = await splicer("handover", "-c", str(edge.path))
        assert (result.code, result.err) == (0, "")
        assert result.out == f"handed over; calls in the vault at {vault.path}: 1\n"
        assert edge.process.poll() == 0
        assert (await edge.line("handover"))["tunnels"] == 1
        assert not edge.find("tunnel_close")
        assert vault.tunnels() == 1
        async with dial(edge.address) as waiting:
            await waiting.send(request("GET", "/ready"))
            async with next_life(vault, edge) as other:
                assert (await waiting.reply()).body == b"ready\n"
                await echoes(call)
                async with tunnel(other, f"/ws/{place.name}/new") as new:
                    await echoes(new)
                await call.close()
                assert (await other.line("tunnel_close", path=f"/ws/{place.name}/x"))["adopted"] == 1


@pytest.mark.slow
async def test_an_exchange_is_finished_before_the_handover(
    vault: Vault, edge: Edge, site: Site, nursery: trio.Nursery
) -> None:
    slow, go_on, asked = site.take(), trio.Event(), trio.Event()

    async def pod(wire: Wire) -> None:
        await wire.request()
        asked.set()
        await go_on.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    await raw_pod(nursery, slow.address, slow.port, pod)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/http/{slow.name}/"))
        await asked.wait()
        edge.signal(signal.SIGQUIT)
        await edge.line("handover")
        go_on.set()
        assert (await wire.reply()).body == b"done"
    assert await edge.exit_code() == 0


@pytest.mark.slow
async def test_a_handover_while_the_vault_is_away(tmp_path: Path, site: Site, place: Place) -> None:
    """There is nobody to leave the calls to: it must not end them."""
    with (
        vault_at(tmp_path / "vault") as vault,
        running(several(site), site, options=("--vault", str(vault.path))) as edge,
    ):
        async with calls(edge, place) as wires:
            vault.kill()
            await until(lambda: len(of_workers(edge, "vault_lost")) == 2)
            await edge.line("vault_lost", role="supervisor")
            edge.signal(signal.SIGQUIT)
            await edge.line("handover_refused")
            for wire in wires:
                await echoes(wire)
            assert edge.process.poll() is None
            await trio.to_thread.run_sync(vault.start)


@pytest.mark.slow
async def test_a_handover_without_such_a_vault_is_refused(site: Site, place: Place) -> None:
    with running(several(site), site) as edge:
        async with calls(edge, place):
            before = worker_pids(edge.pid)
            edge.signal(signal.SIGQUIT)
            assert "--vault" in (await edge.line("handover_refused"))["reason"]
            assert (await ask(edge.address, "GET", "/ready")).status == 200
            assert worker_pids(edge.pid) == before


@pytest.mark.slow
async def test_the_command_for_a_handover_that_is_refused(site: Site) -> None:
    with running(several(site), site) as edge:
        result = await splicer("handover", "-c", str(edge.path))
        assert (result.code, result.out) == (1, "")
        assert len(result.err.splitlines()) == 1
        assert "--vault" in result.err
        assert len(edge.find("handover_refused")) == 1


@pytest.mark.slow
async def test_a_drain_leaves_nothing(vault: Vault, edge: Edge, place: Place) -> None:
    assert vault.keeps(edge.address)
    async with tunnel(edge, f"/ws/{place.name}/x") as call, tunnel(edge, f"/ws/{place.name}/y") as other:
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        await kill_worker(edge, 1)
        for wire in (call, other):
            await echoes(wire)
        await other.close()
        await edge.line("tunnel_close")
        await kill_worker_of(edge, call)
        await echoes(call)
    assert await edge.exit_code() == 0
    await all_are_held(vault, 0)
    assert vault.listeners() == []
    assert not vault.find("tunnel_abandoned")
    with pytest.raises(ConnectionRefusedError):
        await ask(edge.address, "GET", "/health")


@pytest.mark.parametrize("count", [3, pytest.param(700, marks=pytest.mark.slow)])
async def test_a_stop_leaves_nothing(vault: Vault, edge: Edge, place: Place, count: int) -> None:
    """... however many calls end at once, more than the channels to the vault hold."""
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/x")) for _ in range(count)]
        await all_are_held(vault, count)
        edge.signal(signal.SIGINT)
        for wire in wires:
            assert await wire.end() == "eof"
        assert await edge.exit_code() == 0
    await all_are_held(vault, 0)
    assert vault.listeners() == []


@pytest.mark.slow
async def test_a_drain_whose_time_is_up_leaves_nothing(vault: Vault, site: Site, place: Place) -> None:
    options = ("--vault", str(vault.path))
    with running(several(site, deadlines='drain = "1s"'), site, options=options) as edge:
        async with tunnel(edge, f"/ws/{place.name}/x") as call:
            edge.signal(signal.SIGTERM)
            await edge.line("drain_expired")
            assert await call.end() == "eof"
        assert await edge.exit_code() == 0
        assert (await edge.line("tunnel_close"))["reason"] == "drain"
    await all_are_held(vault, 0)
    assert vault.listeners() == []


# ---- with an upgrade ----


@pytest.mark.slow
async def test_an_upgrade(vault: Vault, edge: Edge, place: Place) -> None:
    async with calls(edge, place) as wires:
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        for wire in wires:
            await echoes(wire)
        await all_are_held(vault, 2)
        assert vault.keeps(edge.address)
        await kill_worker(edge, 1)


@pytest.mark.slow
async def test_an_upgrade_during_a_drain(vault: Vault, edge: Edge, place: Place) -> None:
    async with calls(edge, place):
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        assert (await ask(edge.address, "GET", "/ready")).status == 503
    assert await edge.exit_code() == 0
    await all_are_held(vault, 0)
