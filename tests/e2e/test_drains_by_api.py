"""What an operator drains gets nothing new, and what lives there goes on: whoever is killed or renewed meanwhile."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import trio

from tests.e2e.draining import SHARED, drain, lift, ring, ring_at_each, text
from tests.e2e.operator import kill_admin, scrape, scrape_until, see, see_until
from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker, tunnel_at
from tests.kit.pods import http_pod, raw_pod, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import Wire, ask, dial, until


@pytest.fixture(scope="module")
def one_for_all() -> Iterator[Edge]:
    site = Site()
    with running(text(site), site) as edge:
        for _ in range(SHARED):
            site.take()
        yield edge


@pytest.fixture
async def edge(one_for_all: Edge) -> AsyncIterator[Edge]:
    """Nothing is drained afterwards."""
    edge = one_for_all
    yield edge
    for left in (await see(edge, "/drain"))["drains"]:
        await lift(edge, {} if left["scope"] == "all" else {left["scope"]: left["name"]})


async def reloaded(edge: Edge) -> None:
    assert (await edge.reload(edge.path.read_text() + "\n"))["event"] == "reload"


async def signalled(edge: Edge, signum: signal.Signals, event: str) -> None:
    edge.mark()
    edge.signal(signum)
    await edge.line(event)


async def killed(edge: Edge, slot: int) -> None:
    await kill_worker(edge, slot)


_Events = tuple[Callable[[Edge], Awaitable[object]], ...]
_EVENTS: _Events = (
    lambda edge: killed(edge, 1),
    reloaded,
    kill_admin,
    lambda edge: signalled(edge, signal.SIGUSR1, "recycled"),
    lambda edge: signalled(edge, signal.SIGUSR2, "upgraded"),
    lambda edge: killed(edge, 2),
    kill_admin,
)


_LONG = pytest.mark.parametrize("events", [(), pytest.param(_EVENTS, id="all", marks=pytest.mark.slow)])


async def through(edge: Edge, events: _Events, holds: Callable[[], Awaitable[None]]) -> None:
    """It holds now, and after each of these."""
    await holds()
    for happens in events:
        await happens(edge)
        await holds()


async def remaining(edge: Edge, scope: str, name: str = "") -> float:
    """The gauge of one drain. It is left out of a scrape while a worker or a tunnel is on its way."""
    labels = {"scope": scope, "name": name}
    now = await scrape_until(edge, lambda now: now.has("drain_remaining_tunnels", **labels))
    return now.total("drain_remaining_tunnels", **labels)


@pytest.mark.slow
async def test_drains_outlive_all_processes(edge: Edge, place: Place) -> None:
    """A pod's, a route's and that of the whole: after each process's death, a reload and an upgrade."""
    other = edge.site.take()
    path = f"/ws/{place.name}/x"
    async with tunnel_at(edge, 1, path) as call:
        for body in ({"pod": other.name}, {"route": "ws1"}, {}):
            told = await drain(edge, body)
        since = [(one["scope"], one["name"], one["since"]) for one in told]
        assert len(since) == 3

        async def holds() -> None:
            assert [reply.status for reply in await ring_at_each(edge, path)] == [503, 503]
            now = (await see(edge, "/drain"))["drains"]
            assert [(one["scope"], one["name"], one["since"]) for one in now] == since
            await echoes(call)

        await through(edge, _EVENTS, holds)
        await lift(edge, {})
        assert [reply.status for reply in await ring_at_each(edge, path)] == [101, 101]
        for target in (f"/ws1/{place.name}/x", f"/ws/{other.name}/x"):
            for reply in await ring_at_each(edge, target):
                assert reply.status == 503
        await echoes(call)


# ---- a pod ----


@_LONG
async def test_a_drained_pod_gets_no_new_call(edge: Edge, place: Place, events: _Events) -> None:
    path = f"/ws1/{place.name}/x"
    async with tunnel_at(edge, 1, path) as call:
        [told] = await drain(edge, {"pod": place.name})
        assert (told["scope"], told["name"], told["remaining"]) == ("pod", place.name, 1)

        async def holds() -> None:
            for reply in await ring_at_each(edge, path):
                assert reply.status == 503
                assert len(reply.values("Retry-After")) == 1
            [shown] = (await see_until(edge, "/drain", lambda said: said["drains"][0]["remaining"] == 1))["drains"]
            assert (shown["name"], shown["since"]) == (place.name, told["since"])
            await echoes(call)
            assert await remaining(edge, "pod", place.name) == 1
            assert (await ask(edge.address, "GET", "/ready")).status == 200

        await through(edge, events, holds)
        refused = await edge.line("exchange", path=path)
        assert refused["attempts"][0]["failure"] == refused["reason"] == "pod_draining"
    await edge.line("tunnel_close", path=path)
    await see_until(edge, "/drain", lambda said: said["drains"][0]["remaining"] == 0)
    assert await lift(edge, {"pod": place.name}) == []
    for slot in (1, 2):
        async with tunnel_at(edge, slot, path) as call:
            await echoes(call)


async def test_its_live_calls_may_still_ask_it(edge: Edge, nursery: trio.Nursery) -> None:
    """Plain HTTP that names a drained pod still reaches it."""
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    await drain(edge, {"pod": place.name})
    for target in (f"/http/{place.name}/x", f"/ws/{place.name}/x"):
        assert (await ask(edge.address, "GET", target)).body == place.address.encode()


async def test_a_fallback_avoids_the_drained_pod(edge: Edge, nursery: trio.Nursery) -> None:
    """It stands behind the shared name, too."""
    addresses = [f"{edge.site.net}.{number}" for number in range(1, SHARED + 1)]
    pods = {address: await tunnel_pod(nursery, address, edge.site.port) for address in addresses}
    victim = "agent-2"
    drained = pods[f"{edge.site.net}.2"]
    await drain(edge, {"pod": victim})
    for target in (f"/shared/{victim}/x", "/any/x"):
        for slot in (1, 2) * (2 * SHARED):
            async with tunnel_at(edge, slot, target):
                pass
    assert drained.connections == 0
    others = [pod for pod in pods.values() if pod is not drained]
    assert all(pod.connections for pod in others)
    told = [head.values("X-Splicer-Fallback-From") for pod in others for head in pod.seen]
    assert told.count([victim.encode()]) == 4 * SHARED
    assert told.count([]) == 4 * SHARED
    await lift(edge, {"pod": victim})
    async with tunnel(edge, f"/shared/{victim}/x"):
        assert drained.connections == 1


async def test_a_pod_may_be_drained_before_anybody_called_it(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await tunnel_pod(nursery, place.address, place.port)
    await see_until(edge, "/status", lambda said: said["remaining"] == 0)  # calls of others may change their worker
    [told] = await drain(edge, {"pod": place.name})
    assert told["remaining"] == 0
    assert [reply.status for reply in await ring_at_each(edge, f"/ws1/{place.name}/x")] == [503, 503]
    assert pod.connections == 0


# ---- a route ----


@_LONG
async def test_a_drained_route_takes_nothing_new(edge: Edge, place: Place, events: _Events) -> None:
    path = f"/ws1/{place.name}/x"
    async with tunnel_at(edge, 2, path) as call:
        [told] = await drain(edge, {"route": "ws1"})
        assert (told["scope"], told["name"], told["remaining"]) == ("route", "ws1", 1)

        async def holds() -> None:
            for reply in await ring_at_each(edge, path):
                assert reply.status == 503
                assert len(reply.values("Retry-After")) == 1
            assert (await ask(edge.address, "GET", path)).status == 503
            async with tunnel(edge, f"/ws/{place.name}/x") as another:
                await echoes(another)
            await echoes(call)
            shown = (await see_until(edge, "/drain", lambda said: said["drains"][0]["remaining"] == 1))["drains"]
            assert shown == [{**told, "remaining": 1}]
            assert await remaining(edge, "route", "ws1") == 1

        await through(edge, events, holds)
    await see_until(edge, "/drain", lambda said: said["drains"][0]["remaining"] == 0)
    assert await lift(edge, {"route": "ws1"}) == []
    assert (await ring(edge, path)).status == 101


# ---- all ----


@_LONG
@pytest.mark.parametrize("body", [None, {}])
async def test_the_whole_edge_is_drained(
    edge: Edge, place: Place, events: _Events, body: dict[str, str] | None
) -> None:
    path = f"/ws/{place.name}/x"
    async with tunnel_at(edge, 1, path) as call:
        [told] = await drain(edge, body)
        assert (told["scope"], told["remaining"]) == ("all", 1)

        async def holds() -> None:
            assert [reply.status for reply in await ring_at_each(edge, path)] == [503, 503]
            ready = await ask(edge.address, "GET", "/ready")
            assert (ready.status, ready.body) == (503, b"draining\n")
            assert (await ask(edge.address, "GET", "/health")).status == 200
            said = await see_until(edge, "/status", lambda said: said["remaining"] == 1)
            assert said["draining"] is True
            assert [drain["since"] for drain in said["drains"]] == [told["since"]]
            assert await remaining(edge, "all") == 1
            assert (await scrape(edge)).total("draining") == 1
            await echoes(call)

        await through(edge, events, holds)
    await edge.line("tunnel_close", path=path)
    await see_until(edge, "/drain", lambda said: said["drains"][0]["remaining"] == 0)
    assert [reply.status for reply in await ring_at_each(edge, path)] == [503, 503]
    assert edge.process.poll() is None
    assert await lift(edge, body) == []
    assert (await ask(edge.address, "GET", "/ready")).body == b"ready\n"
    assert [reply.status for reply in await ring_at_each(edge, path)] == [101, 101]
    assert (await see(edge, "/status"))["draining"] is False
    assert (await scrape(edge)).total("draining") == 0


async def test_several_drains_at_once(edge: Edge, place: Place) -> None:
    other = edge.site.take()
    await drain(edge, {"pod": place.name})
    await drain(edge, {"pod": other.name})
    await drain(edge, None)
    drains = await drain(edge, {"route": "http"})
    assert {(one["scope"], one["name"]) for one in drains} == {
        ("all", ""),
        ("pod", place.name),
        ("pod", other.name),
        ("route", "http"),
    }
    assert await drain(edge, {"pod": place.name.upper() + "."}) == drains  # the same once more
    left = await lift(edge, None)
    assert {one["scope"] for one in left} == {"pod", "route"}
    assert (await ring(edge, f"/ws1/{place.name}/x")).status == 503
    await lift(edge, {"pod": place.name})
    assert (await ring(edge, f"/ws1/{place.name}/x")).status == 101
    assert (await ring(edge, f"/ws1/{other.name}/x")).status == 503


async def test_many_orders_at_once(edge: Edge, place: Place) -> None:
    """None of them is lost."""
    names = [edge.site.take().name for _ in range(8)]

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(drain, edge, {"pod": name})
    assert {one["name"] for one in (await see(edge, "/drain"))["drains"]} == set(names)
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(lift, edge, {"pod": name})
    assert await see(edge, "/drain") == {"drains": []}


async def test_a_handshake_under_way_is_completed(edge: Edge, nursery: trio.Nursery) -> None:
    """It began before the drain."""
    place, go_on = edge.site.take(), trio.Event()

    async def slow(wire: Wire) -> None:
        await wire.head()
        await go_on.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    pod = await raw_pod(nursery, place.address, place.port, slow)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws1/{place.name}/x"))
        await until(lambda: pod.connections)
        await drain(edge, {"pod": place.name})
        await drain(edge, {"route": "ws1"})
        await drain(edge, None)
        go_on.set()
        assert (await wire.reply()).body == b"done"
