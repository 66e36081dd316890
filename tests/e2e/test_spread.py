"""New connections go to all workers alike, one after another or all at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.fleet import only, several
from tests.kit.site import Site
from tests.kit.wire import TIMEOUT, Wire, dial, request, until
from tests.kit.workers import worker_pids

WORKERS, COUNT = 4, 200


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site(pods=1)
    with running(several(site, WORKERS), site) as edge:
        yield edge


@pytest.fixture(scope="module")
def at_rest(edge: Edge) -> dict[int, int]:
    """How many sockets each worker has without a connection."""
    end = time.monotonic() + TIMEOUT
    while len(worker_pids(edge.pid)) < WORKERS:
        assert time.monotonic() < end
        time.sleep(0.01)
    return {pid: edge.descriptors("socket", pid) for pid in worker_pids(edge.pid).values()}


@pytest.fixture
async def before(edge: Edge, at_rest: dict[int, int]) -> dict[int, int]:
    """The same, and now it is so."""
    await until(lambda: sockets_of(edge) == at_rest)
    return at_rest


def sockets_of(edge: Edge) -> dict[int, int]:
    return {pid: edge.descriptors("socket", pid) for pid in worker_pids(edge.pid).values()}


async def greet(wire: Wire) -> None:
    await wire.send(request("GET", "/health"))
    assert (await wire.reply()).status == 200


async def test_one_after_another(edge: Edge, before: dict[int, int]) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(COUNT):
            await greet(await stack.enter_async_context(dial(edge.address)))
        after = sockets_of(edge)
    counts = [after[pid] - before[pid] for pid in before]
    assert sum(counts) == COUNT
    assert max(counts) <= 2 * COUNT / WORKERS, counts


async def test_all_at_once(edge: Edge, before: dict[int, int]) -> None:
    """The workers are stopped meanwhile: all of it is there when they look, whoever is first."""
    async with AsyncExitStack() as stack:
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        wires = [await stack.enter_async_context(dial(edge.address)) for _ in range(COUNT)]
        for pid in before:
            os.kill(pid, signal.SIGCONT)
        async with trio.open_nursery() as nursery:
            for wire in wires:
                nursery.start_soon(greet, wire)
        after = sockets_of(edge)
    counts = [after[pid] - before[pid] for pid in before]
    assert sum(counts) == COUNT
    assert max(counts) <= 2 * COUNT / WORKERS, counts


async def test_one_serves_all_when_the_others_stand_still(edge: Edge, before: dict[int, int]) -> None:
    pid, *others = before
    async with AsyncExitStack() as stack:
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            for _ in range(50):
                await greet(await stack.enter_async_context(dial(edge.address)))
            assert edge.descriptors("socket", pid) - before[pid] == 50
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)


async def test_who_has_more_than_others_gets_none_until_they_have_as_many(edge: Edge, before: dict[int, int]) -> None:
    first = worker_pids(edge.pid)[1]
    async with AsyncExitStack() as stack:
        with only(edge, 1):
            for _ in range(60):
                await greet(await stack.enter_async_context(dial(edge.address)))
        for _ in range(60):
            await greet(await stack.enter_async_context(dial(edge.address)))
        assert edge.descriptors("socket", first) - before[first] < 70
