"""In virtual time, with name servers that are a function: storms of refreshes, and many names at once."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from attrs import define, field
from trio.testing import MockClock

from splicer.errors import NameNotFound, ResolveFailed
from splicer.net import cache
from splicer.net.dns_names import RdataType
from splicer.net.dns_query import Records
from splicer.net.resolve import REFRESH_INTERVAL, SHORT_LOOKUP_TIMEOUT, SHORT_LOOKUPS, UNKNOWN_NAME_LOOKUPS, Resolver
from tests.net.virtual import GONE, LIFETIME, MOMENT, POD, Options, Servers, fresh, old


async def test_a_storm_of_refreshes_is_a_few_questions(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1")
    await resolver.resolve(POD)
    servers.set("10.0.0.2")
    for _ in range(100):
        assert await resolver.resolve(POD, refresh=True) == fresh("10.0.0.2")
        await trio.sleep(REFRESH_INTERVAL / 50)
    assert servers.asked == 3


async def test_a_refresh_joins_the_lookup_in_flight(
    servers: Servers, resolver: Resolver, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1")
    await resolver.resolve(POD)
    servers.set("10.0.0.2")
    servers.delay = 1.0
    answers = []

    async def refresh() -> None:
        answers.append(await resolver.resolve(POD, refresh=True))

    for _ in range(10):
        nursery.start_soon(refresh)
        await trio.sleep(0.05)
    assert resolver.cached(POD) == old("10.0.0.1")  # still good for those who have no complaint
    await trio.sleep(1.0)
    assert answers == [fresh("10.0.0.2")] * 10
    assert servers.asked == 2


async def test_a_refresh_that_fails_keeps_what_is_known(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1")
    await resolver.resolve(POD)
    servers.fail()
    assert await resolver.resolve(POD, refresh=True) == old("10.0.0.1")
    assert resolver.cached(POD) == old("10.0.0.1")


@define
class Flood:
    """Answer for the names that exist after a moment; say nothing about any other."""

    real: dict[str, str] = field(factory=dict)
    waiting: int = 0
    most: int = 0

    async def ask(self, name: str, kind: RdataType) -> Records:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await trio.sleep(MOMENT if name in self.real else 3600.0)
        finally:
            self.waiting -= 1
        return Records((self.real[name],), 5.0)

    async def start(self, nursery: trio.Nursery, resolver: Resolver, names: int) -> None:
        """A client asks for names that it makes up."""

        async def one(name: str) -> None:
            with pytest.raises(ResolveFailed):
                await resolver.resolve(name)

        for number in range(names):
            nursery.start_soon(one, f"invented-{number}.example")
        await trio.testing.wait_all_tasks_blocked()


async def test_lookups_of_unknown_names_are_bounded(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    flood = Flood()
    resolver = Resolver(Options(), nursery=nursery, lifetime=LIFETIME, ask=flood.ask)
    async with trio.open_nursery() as clients:
        await flood.start(clients, resolver, 3 * (UNKNOWN_NAME_LOOKUPS + SHORT_LOOKUPS))
    assert flood.most == UNKNOWN_NAME_LOOKUPS + SHORT_LOOKUPS


async def test_invented_names_don_t_hold_up_those_that_exist(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    flood = Flood({"new.example": "10.0.0.1", "old.example": "10.0.0.2"})
    resolver = Resolver(Options(), nursery=nursery, lifetime=LIFETIME, ask=flood.ask)
    await resolver.resolve("old.example")
    await trio.sleep(6.0)  # it has grown old
    async with trio.open_nursery() as clients:
        await flood.start(clients, resolver, UNKNOWN_NAME_LOOKUPS + SHORT_LOOKUPS)
        began = trio.current_time()
        assert await resolver.resolve("old.example") == fresh("10.0.0.2")
        assert trio.current_time() - began == pytest.approx(MOMENT)
        assert await resolver.resolve("new.example") == fresh("10.0.0.1")
        assert trio.current_time() - began == pytest.approx(SHORT_LOOKUP_TIMEOUT + MOMENT)


async def test_many_new_names_that_exist_are_all_found(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    flood = Flood({f"pod-{number}.example": "10.0.0.1" for number in range(5 * (UNKNOWN_NAME_LOOKUPS + SHORT_LOOKUPS))})
    resolver = Resolver(Options(), nursery=nursery, lifetime=LIFETIME, ask=flood.ask)
    found = []

    async def call(name: str) -> None:
        found.append(await resolver.resolve(name))

    async with trio.open_nursery() as clients:
        for name in flood.real:
            clients.start_soon(call, name)
    assert found == [fresh("10.0.0.1")] * len(flood.real)


async def test_memory_is_bounded(
    servers: Servers, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(cache, "CAPACITY", 10)
    resolver = Resolver(Options(), nursery=nursery, lifetime=LIFETIME, ask=servers.ask)
    for number in range(200):
        servers.outcome = Records(("10.0.0.1",), 5.0) if number % 2 else GONE
        try:
            await resolver.resolve(f"pod-{number}.example")
        except NameNotFound:
            continue
    kept = [number for number in range(200) if resolver.cached(f"pod-{number}.example") is not None]
    assert kept == list(range(181, 200, 2))
