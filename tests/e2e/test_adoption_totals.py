"""What all workers count together, and what is open after many adoptions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from operator import gt
from random import Random

import pytest
import trio

from tests.e2e.adoptions import status, status_at, status_until, text
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import at_every, echoes, kill_worker, only, tunnel_at
from tests.kit.site import Place, Site
from tests.kit.wire import dial, until
from tests.kit.workers import kill_and_see, worker_pids

_LIMIT = 6
_LIMITED = f"[limits]\nconnections = {_LIMIT}\n"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(text(site), site) as edge:
        yield edge


# ---- what all workers count together ----


async def test_the_limit_of_connections_is_one_of_all_workers(edge: Edge, place: Place) -> None:
    absent = f"/ws/{edge.site.take().name}/x"  # requests for pods are judged by the limit; this one gets no further
    try:
        assert (await edge.reload(text(edge.site, _LIMITED)))["event"] == "reload"
        async with AsyncExitStack() as stack:
            tunnels = [tunnel_at(edge, 1 + number % 2, f"/ws/{place.name}/x") for number in range(_LIMIT)]
            wires = [await stack.enter_async_context(one) for one in tunnels]
            await at_every(edge, 503, absent)
            await kill_worker(edge, 1)
            for wire in wires:
                await echoes(wire)
            await at_every(edge, 503, absent)
            edge.mark()
            await wires[0].close()
            await edge.line("tunnel_close", path=f"/ws/{place.name}/x")
            await at_every(edge, 502, absent)
    finally:
        await edge.reload(text(edge.site))


async def test_the_status_page_is_one_of_all_workers(edge: Edge, place: Place) -> None:
    async with AsyncExitStack() as stack:
        before = await status_until(edge, 1, 1)
        wires = [await stack.enter_async_context(tunnel_at(edge, slot, f"/ws/{place.name}/x")) for slot in (1, 1, 2)]
        before = await status_until(edge, 1, 4, [total + 4 for total in before[1:]])
        for victim, other in ((1, 2), (2, 1)):
            before = await status_until(edge, other, 4, before[1:])
            await kill_worker(edge, victim)
            for wire in wires:
                await echoes(wire)
            after = await status_until(edge, other, 4)
            assert all(map(gt, after[1:], before[1:])), (before, after)


async def test_no_total_falls_when_a_worker_is_killed(edge: Edge) -> None:
    """Whatever somebody has been told is told again, and more."""
    for _ in range(3):
        await until(lambda: set(worker_pids(edge.pid)) == {1, 2})
        victim = worker_pids(edge.pid)[1]
        with only(edge, 1):
            async with dial(edge.address) as wire:
                for _ in range(20):
                    last = await status(wire)
                await kill_and_see(victim)
        await edge.expected(1, "worker_died", pid=victim)
        after = await status_at(edge, 2)
        assert all(map(gt, after[1:], last[1:])), (last, after)


# ---- descriptors ----


def files(edge: Edge, pid: int) -> Counter[str]:
    """What a process has open, by kind, but for pipes: those are kept for the next calls."""
    links = (re.sub(r"_\d+\.db$", ".db", link) for link in edge.open_files(pid))  # its counts are those of a row
    return Counter(link.partition(":")[0] for link in links if not link.startswith("pipe"))


def forgotten(edge: Edge) -> set[str]:
    """Pipes that the supervisor has and no worker."""
    known = {link for pid in worker_pids(edge.pid).values() for link in edge.open_files(pid)}
    return {link for link in edge.open_files(edge.pid) if link.startswith("pipe")} - known


async def at_rest(edge: Edge) -> None:
    """All processes are there, and no connection."""
    await status_until(edge, 1, 1)
    await until(lambda: any(title == "splicer: spare" for _, title in session_of(edge.pid)))
    await until(lambda: len(session_of(edge.pid)) == 5)  # the supervisor, two workers, the spare, the template
    journals = 3  # of two workers and the spare
    await until(lambda: edge.open_files(edge.pid).count("/memfd:splicer-journal (deleted)") == journals)


@pytest.mark.parametrize("waves", [1, pytest.param(12, marks=pytest.mark.slow)])
async def test_no_descriptor_is_left(edge: Edge, place: Place, waves: int) -> None:
    """Hundreds of tunnels, some kills: in the end supervisor and workers have what they had in the beginning."""

    async def one(number: int) -> None:
        chance = Random(number)
        async with tunnel(edge, f"/ws/{place.name}/x") as wire:
            for _ in range(chance.randint(1, 4)):
                await echoes(wire, chance.randbytes(chance.choice([1, 160, 100_000])))
                await trio.sleep(chance.uniform(0, 0.5))
            match chance.randint(0, 2):
                case 0:
                    await wire.send_eof()
                    assert await wire.rest() == b""
                case 1:
                    wire.reset()

    await at_rest(edge)
    before = files(edge, edge.pid)
    stray = len(forgotten(edge))
    serving = {slot: files(edge, pid) for slot, pid in worker_pids(edge.pid).items()}
    for wave in range(waves):
        async with AsyncExitStack() as stack:
            for number in range(100):  # handshakes of a killed worker are lost
                wire = await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/{number}"))
                if number % 2:
                    await echoes(wire, bytes(1000))
            await kill_worker(edge, 1 + wave % 2)
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(one, 100 * wave + number)
    await at_rest(edge)
    await until(lambda: files(edge, edge.pid) == before)
    await until(lambda: len(forgotten(edge)) <= stray)
    for slot, pid in worker_pids(edge.pid).items():
        await has_no_more(edge, pid, serving[slot] | Counter(socket=serving[slot]["socket"] + 1))


async def has_no_more(edge: Edge, pid: int, allowed: Counter[str]) -> None:
    await until(lambda: files(edge, pid) <= allowed)
