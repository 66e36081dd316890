"""`max_tunnels` of an upstream: exactly so many at each pod, whichever workers have them, and through their deaths."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, field

from tests.kit.calls import handshake
from tests.kit.edge import Edge, running
from tests.kit.fleet import kill_worker, several
from tests.kit.pods import Handler, patient_echo, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.vaults import vault_at
from tests.kit.wire import TIMEOUT, EndOfStream, Wire, dial, until
from tests.kit.workers import worker_pids

pytestmark = pytest.mark.slow

LIMIT = 40
WORKERS = 3
AT_ONCE = 200


def text(site: Site, places: list[Place], limit: int) -> str:
    routes = f"""
[upstreams.all]
address = "all.test:{site.port}"
allow = ["127.0.0.0/8"]
max_tunnels = {limit}
[[routes]]
name = "all"
prefix = "/all"
upstream = "all"
upgrade = ["websocket"]
"""
    hosts = ", ".join(f'"{place.address}"' for place in places)
    known = f'[resolver.hosts]\n"all.test" = [{hosts}]'
    return several(site, WORKERS, routes=routes).replace("[resolver.hosts]", known)


@define(eq=False)
class Fleet:
    """Three pods, and the calls to them."""

    edge: Edge
    places: list[Place]
    stack: AsyncExitStack
    live: Counter[str] = field(factory=Counter)
    most: Counter[str] = field(factory=Counter)
    calls: list[Wire] = field(factory=list)
    refused: int = 0

    async def start(self, nursery: trio.Nursery) -> None:
        for place in self.places:
            await tunnel_pod(nursery, place.address, place.port, self._pod(place.address))

    def _pod(self, address: str) -> Handler:
        async def handle(wire: Wire) -> None:
            self.live[address] += 1
            self.most[address] = max(self.most[address], self.live[address])
            try:
                await patient_echo(wire)
            finally:
                self.live[address] -= 1

        return handle

    async def call(self) -> None:
        """One more call; it stays open if it was let in."""
        wire = await self.stack.enter_async_context(dial(self.edge.address))
        try:
            await wire.send(handshake("/all"))
            head = await wire.head()
        except (EndOfStream, trio.BrokenResourceError):  # its worker was killed
            return
        if head.startswith(b"HTTP/1.1 101 "):
            self.calls.append(wire)
        else:
            assert head.startswith(b"HTTP/1.1 503 "), head
            assert b"\r\nRetry-After: 1\r\n" in head
            self.refused += 1
            await wire.close()

    async def calls_at_once(self, count: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(self.call)

    @asynccontextmanager
    async def calling_on(self) -> AsyncIterator[None]:
        """Within the block further calls are tried all the time."""

        async def call_on() -> None:
            while True:
                await self.call()
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(call_on)
            yield
            await trio.sleep(0.2)
            nursery.cancel_scope.cancel()

    async def are_full(self, limit: int = LIMIT) -> None:
        """Each pod has exactly as many as it may have, and never had more; all calls are alive."""
        with trio.fail_after(TIMEOUT):
            while len(self.calls) < limit * len(self.places):
                await self.call()
        await until(lambda: self.live == {place.address: limit for place in self.places})
        assert max(self.most.values()) == limit
        for wire in self.calls:
            await wire.send(b"still here")
        for wire in self.calls:
            assert await wire.exactly(10) == b"still here"
        refused = self.refused
        await self.calls_at_once(5)
        assert self.refused == refused + 5

    async def hang_up(self, count: int) -> None:
        """End so many calls, wherever they are, and wait until their pods know."""
        ended, self.calls = self.calls[:count], self.calls[count:]
        for wire in ended:
            await wire.send_eof()
            assert await wire.end() == "eof"
        await until(lambda: self.live.total() == len(self.calls))


@pytest.fixture(scope="module")
def ground() -> Iterator[tuple[Edge, list[Place]]]:
    site = Site(pods=20)
    places = [site.take() for _ in range(3)]
    with running(text(site, places, LIMIT), site) as edge:
        yield edge, places


@pytest.fixture
async def fleet(ground: tuple[Edge, list[Place]], nursery: trio.Nursery) -> AsyncIterator[Fleet]:
    edge, places = ground
    await until(lambda: len(worker_pids(edge.pid)) == WORKERS)
    async with AsyncExitStack() as stack:
        fleet = Fleet(edge, places, stack)
        await fleet.start(nursery)
        await fleet.calls_at_once(AT_ONCE)
        assert len(fleet.calls) == LIMIT * len(places), "nobody was refused while there was room"
        assert fleet.refused == AT_ONCE - len(fleet.calls)
        yield fleet
        await fleet.hang_up(len(fleet.calls))


async def test_of_200_calls_at_once_each_of_three_pods_gets_40(fleet: Fleet) -> None:
    await fleet.are_full()
    lines = await fleet.edge.wait_lines(1, "exchange", route="all", reason="endpoint_full")
    assert lines[0]["detail"] == f"each of 3 endpoints has {LIMIT} tunnels, the max_tunnels of upstream all"
    await fleet.hang_up(30)
    await fleet.calls_at_once(100)
    await fleet.are_full()


async def test_calls_of_killed_workers_count_all_the_time(fleet: Fleet) -> None:
    for slot in (1, 2, 3, 1):
        async with fleet.calling_on():
            await kill_worker(fleet.edge, slot)
        await fleet.are_full()
        await fleet.hang_up(7)
        await fleet.are_full()


@pytest.mark.parametrize(("signum", "done"), [(signal.SIGUSR1, "recycled"), (signal.SIGUSR2, "upgraded")])
async def test_new_workers_go_on_counting(fleet: Fleet, signum: signal.Signals, done: str) -> None:
    async with fleet.calling_on():
        fleet.edge.mark()
        fleet.edge.signal(signum)
        await fleet.edge.line(done)
    await fleet.are_full()
    await fleet.hang_up(7)
    await fleet.are_full()


async def test_calls_that_another_edge_has_left_count(nursery: trio.Nursery, tmp_path: Path) -> None:
    site = Site(pods=20)
    places = [site.take() for _ in range(3)]
    written = text(site, places, 10)
    async with AsyncExitStack() as stack:
        vault = stack.enter_context(vault_at(tmp_path / "vault"))
        options = ("--vault", str(vault.path))
        first = stack.enter_context(running(written, site, options=options))
        fleet = Fleet(first, places, stack)
        await fleet.start(nursery)
        await until(lambda: len(worker_pids(first.pid)) == WORKERS)
        await fleet.calls_at_once(40)
        assert len(fleet.calls) == 30
        first.signal(signal.SIGQUIT)
        assert await first.exit_code() == 0
        fleet.edge = stack.enter_context(running(written, site, options=options))
        for wire in fleet.calls:
            await wire.send(b"here")
            assert await wire.exactly(4) == b"here"
        await fleet.are_full(10)
        await fleet.hang_up(30)


async def test_a_reload_changes_the_limit_and_no_call(fleet: Fleet) -> None:
    edge = fleet.edge
    async with fleet.calling_on():
        await edge.reload(text(edge.site, fleet.places, LIMIT - 10))
        await fleet.hang_up(9)
    assert len(fleet.calls) == 3 * LIMIT - 9, "there are still more than the limit"
    await edge.reload(text(edge.site, fleet.places, LIMIT))
    await fleet.are_full()
