"""The sums that Prometheus reads are what the clients counted, whoever was killed meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from random import Random

import pytest
import trio
from attrs import define

from tests.e2e.operator import (
    Growth,
    kill_admin,
    no_tunnel_is_left,
    observed,
    scrape,
    scrape_until,
    watched,
)
from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker, tunnel_at
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import EndOfStream, Wire, ask, dial
from tests.kit.workers import worker_pids
from tests.stress.kills import Killer


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(observed(site), site) as edge:
        yield edge


async def twice(wire: Wire) -> None:
    """A pod that says everything twice."""
    while data := await wire.some():
        await wire.send(2 * data)
    await wire.send_eof()


@define
class Clients:
    """Clients that count. What a pod says is twice what it hears."""

    opened: int = 0
    failed: int = 0
    to_pod: int = 0

    async def talk(self, wire: Wire, sizes: list[int]) -> None:
        for size in sizes:
            await wire.send(bytes(size))
            self.to_pod += size
            await wire.exactly(2 * size)


@pytest.fixture
async def place(edge: Edge, nursery: trio.Nursery) -> Place:
    """A pod that says everything twice."""
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port, twice)
    return place


@pytest.fixture
async def plain(edge: Edge, nursery: trio.Nursery) -> Place:
    """A pod for plain HTTP."""
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    return place


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.slow)])
async def test_the_sums_are_what_the_clients_counted(edge: Edge, place: Place, plain: Place, kills: int) -> None:
    """Calls are killed in the middle of their words, but neither at their first nor at their last."""
    clients, asked, chance = Clients(), 0, Random(4)
    path = f"/ws/{place.name}/x"
    before = await no_tunnel_is_left(edge)
    async with watched(edge):
        for number in range(kills):
            async with AsyncExitStack() as stack:
                wires = [await stack.enter_async_context(tunnel(edge, path)) for _ in range(12)]
                wires.append(await stack.enter_async_context(tunnel_at(edge, 1 + number % 2, path)))
                clients.opened += len(wires)
                for _ in range(5):
                    await ask(edge.address, "GET", f"/http/{plain.name}/x")
                    asked += 1
                await edge.wait_lines(asked, "exchange", path=f"/http/{plain.name}/x")
                async with trio.open_nursery() as nursery:
                    for wire in wires:
                        sizes = [chance.choice([1, 160, 640, 30_000, 300_000]) for _ in range(12)]
                        nursery.start_soon(clients.talk, wire, sizes)
                    await trio.sleep(chance.uniform(0, 0.02))
                    await kill_worker(edge, 1 + number % 2)
            closed = await edge.wait_lines(clients.opened, "tunnel_close", path=path)
    await no_tunnel_is_left(edge)
    after = await scrape_until(edge, lambda now: Growth(before, now)("worker_restarts_total") == kills)
    grown = Growth(before, after)
    assert len(closed) == clients.opened
    assert grown("tunnels_total") == grown("tunnels_total", route="ws", pod=place.name) == clients.opened
    assert grown("tunnel_closes_total") == clients.opened
    assert grown("tunnel_closes_total", closer="client", reason="eof") == clients.opened
    assert grown("tunnel_bytes_total", direction="to_pod") == clients.to_pod
    assert grown("tunnel_bytes_total", direction="to_client") == 2 * clients.to_pod
    assert grown("tunnels_adopted_total") == sum(line["adopted"] for line in closed) > 0
    assert grown("tunnel_duration_seconds_count", route="ws") == clients.opened
    assert grown("requests_total", route="ws", method="GET", status="1xx") == clients.opened
    assert grown("requests_total", route="http", method="GET", status="2xx") == asked
    assert grown("request_duration_seconds_count") == grown("request_duration_seconds_count", route="http") == asked
    assert grown("attempts_total", route="ws", upstream="pod", outcome="ok") == clients.opened
    assert grown("fallbacks_total") == 0
    for part in ("resolve", "connect", "handshake"):
        counted = grown("handshake_duration_seconds_count", part=part, outcome="opened")
        assert counted == clients.opened
    assert grown("worker_restarts_total") == kills
    assert after.total("workers_serving") == 2


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.slow)])
async def test_kills_under_full_load(edge: Edge, place: Place, kills: int) -> None:
    """Whoever is killed in the middle of a handshake or of a close may leave it uncounted: no more than that."""
    clients, killer = Clients(), Killer(lambda: worker_pids(edge.pid), Random(5), refill=True, salvo=1)
    crowd, sizes = 8, [160] * 10
    over = False

    async def client() -> None:
        while not over:
            try:
                async with tunnel(edge, f"/ws/{place.name}/x") as wire:
                    clients.opened += 1
                    await clients.talk(wire, sizes)
            except (EndOfStream, trio.BrokenResourceError):
                clients.failed += 1
            await ask_in_vain_or_not(edge)

    before = await no_tunnel_is_left(edge)
    async with watched(edge):
        async with trio.open_nursery() as nursery:
            for _ in range(crowd):
                nursery.start_soon(client)
            await killer.run(kills)
            over = True
        await edge.expected(kills, "worker_died", reason="SIGKILL")
    grown = Growth(before, await no_tunnel_is_left(edge))
    assert clients.to_pod == clients.opened * sum(sizes), "a call that was open has been cut"
    assert clients.failed <= kills * crowd
    assert clients.opened - kills <= grown("tunnels_total") <= clients.opened + clients.failed
    uncounted = clients.opened - grown("tunnel_closes_total")
    assert -clients.failed <= uncounted <= kills * crowd
    for direction, times in (("to_pod", 1), ("to_client", 2)):
        missing = times * clients.to_pod - grown("tunnel_bytes_total", direction=direction)
        assert 0 <= missing <= max(0.0, uncounted) * times * sum(sizes)
    assert grown("tunnels_adopted_total") > 0


async def ask_in_vain_or_not(edge: Edge) -> None:
    try:
        await ask(edge.address, "GET", "/health")
    except (EndOfStream, trio.BrokenResourceError):
        return


async def test_a_death_shows(edge: Edge) -> None:
    before = await scrape(edge)
    await kill_worker(edge)
    for _ in range(2):
        await scrape_until(edge, lambda now: Growth(before, now)("worker_restarts_total") == 1)
        await kill_admin(edge)


@pytest.mark.slow
async def test_counts_go_on_with_new_processes_and_new_code(edge: Edge, place: Place) -> None:
    clients, path = Clients(), f"/ws/{place.name}/x"
    before = await no_tunnel_is_left(edge)
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(tunnel_at(edge, 1 + number % 2, path)) for number in range(4)]
        clients.opened += len(wires)
        async with watched(edge):
            for event in ("recycled", "admin_died", "upgraded"):
                for wire in wires:
                    await clients.talk(wire, [1000])
                edge.mark()
                if event == "admin_died":
                    await kill_admin(edge)
                else:
                    edge.signal(signal.SIGUSR2 if event == "upgraded" else signal.SIGUSR1)
                await edge.line(event)
                grown = Growth(before, await scrape_until(edge, lambda now: now.total("tunnels_active") == 4))
                assert grown("tunnels_total", pod=place.name) == 4
                assert grown("tunnel_closes_total") == 0
        assert grown("worker_restarts_total") == 0
    closed = await edge.wait_lines(4, "tunnel_close", path=path)
    assert [line["adopted"] for line in closed] == [2] * 4
    assert sum(line["bytes_to_pod"] for line in closed) == clients.to_pod
    grown = Growth(before, await no_tunnel_is_left(edge))
    assert grown("tunnel_closes_total") == 4
    assert grown("tunnel_bytes_total", direction="to_pod") == clients.to_pod
    assert grown("tunnel_bytes_total", direction="to_client") == 2 * clients.to_pod
    assert grown("tunnels_adopted_total") == 2 * 4


async def test_bytes_of_live_calls_are_counted_at_once(edge: Edge, place: Place) -> None:
    before = await no_tunnel_is_left(edge)
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        for number in range(1, 4):
            await Clients().talk(wire, [5000])
            grown = Growth(before, await scrape(edge))
            assert grown("tunnel_bytes_total", direction="to_pod") == number * 5000
            assert grown("tunnel_bytes_total", direction="to_client") == number * 10_000
            assert grown("tunnels_active", route="ws", pod=place.name) == 1
        await scrape_until(edge, lambda now: now.total("connections_active") == 1)


async def test_what_fails_is_counted(edge: Edge, nursery: trio.Nursery) -> None:
    """An attempt at an address where nobody listens, and then at its twin; and one where neither does."""
    half, nowhere = edge.site.take(), edge.site.take()
    await tunnel_pod(nursery, half.twin, half.port)
    before = await scrape(edge)
    async with tunnel(edge, f"/ws/{half.name}/x") as wire:
        await echoes(wire)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws1/{nowhere.name}/x"))
        assert (await wire.reply()).status == 502
    await edge.line("exchange", path=f"/ws1/{nowhere.name}/x")
    grown = Growth(before, await no_tunnel_is_left(edge))
    assert grown("attempts_total", route="ws", upstream="pod", outcome="connect_refused") == 1
    assert grown("attempts_total", route="ws", upstream="any", outcome="ok") == 1
    assert grown("fallbacks_total") == grown("fallbacks_total", route="ws", reason="connect_refused") == 1
    assert grown("attempts_total", route="ws1", upstream="pod", outcome="connect_refused") == 1
    assert grown("requests_total", route="ws1", status="5xx") == 1
    assert grown("handshake_duration_seconds_count", part="connect", outcome="failed") == 1
    assert grown("request_duration_seconds_count") == 0
    assert grown("tunnels_total", route="ws1") == 0
