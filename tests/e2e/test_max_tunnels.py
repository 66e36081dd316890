"""`max_tunnels`: one limit for the tunnels of a route, whichever workers have them, through reloads and deaths."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker, several, tunnel_at
from tests.kit.http import Message
from tests.kit.site import Place, Site
from tests.kit.wire import TIMEOUT, Wire, dial, until
from tests.kit.workers import worker_pids

LIMIT = 4


def text(site: Site, limit: int | None = LIMIT) -> str:
    key = "" if limit is None else f"max_tunnels = {limit}"
    route = f"""
[[routes]]
name = "calls"
regex = '^/limited/(?<pod>[^/]+)$'
upstream = "pod"
fallback = "any"
upgrade = ["websocket"]
{key}
"""
    return several(site, 2, routes=route)


@pytest.fixture(scope="module")
def running_edge() -> Iterator[Edge]:
    site = Site(pods=20)
    with running(text(site), site) as edge:
        yield edge


@pytest.fixture
async def edge(running_edge: Edge) -> AsyncIterator[Edge]:
    yield running_edge
    await running_edge.reload(text(running_edge.site))


async def call(edge: Edge, place: Place) -> Message:
    """A handshake, whose connection is closed after the answer."""
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/limited/{place.name}"))
        return await wire.reply()


async def fill(edge: Edge, place: Place, stack: AsyncExitStack, count: int = LIMIT) -> list[Wire]:
    """So many tunnels, at both workers in turn."""
    return [await _enter(stack, edge, 1 + number % 2, f"/limited/{place.name}") for number in range(count)]


async def _enter(stack: AsyncExitStack, edge: Edge, slot: int, target: str) -> Wire:
    """A tunnel; the end of an earlier one, that of `has_room` for example, may not be known yet."""
    with trio.fail_after(TIMEOUT):
        while True:
            try:
                return await stack.enter_async_context(tunnel_at(edge, slot, target))
            except AssertionError:
                await trio.sleep(0.05)


async def has_room(edge: Edge, place: Place) -> None:
    """Wait until a call is let in: the end of another one may not be known yet."""
    with trio.fail_after(TIMEOUT):
        while (await call(edge, place)).status != 101:  # noqa: ASYNC110 - see `until`
            await trio.sleep(0.05)


async def is_full(edge: Edge, place: Place) -> None:
    """Wait until no call is let in: that of `has_room`, or an adoption, may not be over yet."""
    with trio.fail_after(TIMEOUT):
        while (await call(edge, place)).status != 503:  # noqa: ASYNC110 - see `until`
            await trio.sleep(0.05)


async def test_the_limit_is_that_of_all_workers(edge: Edge, place: Place) -> None:
    async with AsyncExitStack() as stack:
        wires = await fill(edge, place, stack)
        for slot in (1, 2):
            with pytest.raises(AssertionError, match="503"):
                await stack.enter_async_context(tunnel_at(edge, slot, f"/limited/{place.name}"))
        refused = await edge.wait_lines(2, "exchange", route="calls", reason="route_full")
        assert {line["detail"] for line in refused} == {"route calls has 4 tunnels, as many as its max_tunnels"}
        async with tunnel(edge, f"/ws/{place.name}/x") as other:  # another route
            await echoes(other)
        for wire in wires:
            await echoes(wire)
        await wires[0].send_eof()
        assert await wires[0].end() == "eof"
        await until(lambda: edge.find("tunnel_close", route="calls"))
        await has_room(edge, place)


async def test_a_reload_changes_the_limit_and_no_call(edge: Edge, place: Place) -> None:
    assert (await edge.reload(text(edge.site, None)))["event"] == "reload"
    async with AsyncExitStack() as stack:
        wires = await fill(edge, place, stack, LIMIT + 1)
        assert (await edge.reload(text(edge.site)))["event"] == "reload"
        assert (await call(edge, place)).status == 503
        await edge.reload(text(edge.site, LIMIT + 2))
        await has_room(edge, place)
        await edge.reload(text(edge.site, 1))
        assert (await call(edge, place)).status == 503
        for wire in wires:
            await echoes(wire)
    await edge.wait_lines(LIMIT + 2, "tunnel_close", route="calls")
    await has_room(edge, place)


async def test_tunnels_of_a_dead_worker_are_counted_where_they_go_on(edge: Edge, place: Place) -> None:
    async with AsyncExitStack() as stack:
        wires = await fill(edge, place, stack)
        await kill_worker(edge, 1)
        for wire in wires:
            await echoes(wire)
        await is_full(edge, place)
        for wire in wires[:2]:
            await wire.send_eof()
            assert await wire.end() == "eof"
        await edge.expected(2, "tunnel_close")
        await has_room(edge, place)
        again = await fill(edge, place, stack, 2)
        await is_full(edge, place)
        for wire in (*wires[2:], *again):
            await echoes(wire)


@pytest.mark.parametrize(("signum", "done"), [(signal.SIGUSR1, "recycled"), (signal.SIGUSR2, "upgraded")])
async def test_new_workers_go_on_counting(edge: Edge, place: Place, signum: signal.Signals, done: str) -> None:
    await until(lambda: set(worker_pids(edge.pid)) == {1, 2})
    async with AsyncExitStack() as stack:
        wires = await fill(edge, place, stack)
        edge.mark()
        edge.signal(signum)
        await edge.line(done)
        for wire in wires:
            await echoes(wire)
        await is_full(edge, place)
        await wires[0].send_eof()
        assert await wires[0].end() == "eof"
        await has_room(edge, place)
