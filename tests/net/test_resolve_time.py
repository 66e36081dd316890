"""In virtual time, with name servers that are a function."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import trio
import trio.testing
from attrs import define, field, frozen
from dns.rdatatype import RdataType
from trio.testing import MockClock

from splicer.errors import NameNotFound, ResolveFailed, ResolveTimeout
from splicer.net import cache
from splicer.net.cache import FAILURE_TTL, NEGATIVE_TTL, RETRY_INTERVAL
from splicer.net.dns_query import Records
from splicer.net.resolve import (
    REFRESH_INTERVAL,
    SHORT_LOOKUP_TIMEOUT,
    SHORT_LOOKUPS,
    STALE_TIMEOUT,
    UNKNOWN_NAME_LOOKUPS,
    Answer,
    Resolver,
)

POD = "pod-0.example"
LIFETIME = 2.0
MAX_TTL = 10.0
GONE = Records((), 30.0, exists=False)
MOMENT = 0.01


@frozen
class Options:
    nameservers: tuple[tuple[str, int], ...] = (("127.0.0.1", 9),)
    max_ttl: float = MAX_TTL
    ipv6: bool = False
    hosts: Mapping[str, tuple[str, ...]] = field(factory=dict)


@define
class Servers:
    """Answer every question with `outcome` after `delay` seconds."""

    outcome: Records | Exception = GONE
    delay: float = 0.0
    asked: int = 0

    async def ask(self, name: str, kind: RdataType) -> Records:
        self.asked += 1
        await trio.sleep(self.delay)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def set(self, *addresses: str, ttl: float = 5.0) -> None:
        self.outcome = Records(addresses, ttl)

    def fail(self, delay: float = 0.0) -> None:
        self.outcome = ResolveFailed("down")
        self.delay = delay


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
async def resolver(servers: Servers, nursery: trio.Nursery) -> Resolver:
    return Resolver(Options(), nursery=nursery, lifetime=LIFETIME, ask=servers.ask)


def fresh(address: str) -> Answer:
    return Answer((address,), fresh=True)


def old(address: str) -> Answer:
    return Answer((address,), fresh=False)


@pytest.mark.parametrize(("ttl", "lasts"), [(5.0, 5.0), (MAX_TTL, MAX_TTL), (3600.0, MAX_TTL)])
async def test_an_answer_lasts_for_its_ttl_and_no_longer_than_max_ttl(
    servers: Servers, resolver: Resolver, ttl: float, lasts: float, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1", ttl=ttl)
    await resolver.resolve(POD)
    servers.set("10.0.0.2", ttl=ttl)
    await trio.sleep(lasts - MOMENT)
    assert resolver.cached(POD) == old("10.0.0.1")
    await trio.sleep(MOMENT)
    assert resolver.cached(POD) is None
    assert await resolver.resolve(POD) == fresh("10.0.0.2")


async def test_no_such_name_is_asked_again_after_a_moment(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    with pytest.raises(NameNotFound):
        await resolver.resolve(POD)
    servers.set("10.0.0.1")
    await trio.sleep(NEGATIVE_TTL - MOMENT)
    with pytest.raises(NameNotFound):
        await resolver.resolve(POD, refresh=True)
    await trio.sleep(MOMENT)
    assert await resolver.resolve(POD) == fresh("10.0.0.1")


async def test_who_gives_up_takes_nothing_from_the_others(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1")
    servers.delay = 1.0
    with trio.move_on_after(0.5) as impatient:
        await resolver.resolve(POD)
    assert impatient.cancelled_caught
    assert await resolver.resolve(POD) == fresh("10.0.0.1")
    assert servers.asked == 1
    assert trio.current_time() == pytest.approx(1.0, abs=MOMENT)


async def test_a_lookup_that_nobody_awaits_fills_the_cache(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1")
    servers.delay = 1.0
    with trio.move_on_after(0.5):
        await resolver.resolve(POD)
    await trio.sleep(0.6)
    assert resolver.cached(POD) == old("10.0.0.1")


async def test_a_lookup_ends_after_its_lifetime(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.delay = 3600.0
    with pytest.raises(ResolveTimeout, match="no answer within 2 s"):
        await resolver.resolve(POD)
    assert trio.current_time() == pytest.approx(LIFETIME)


async def test_a_lookup_without_deadline_ends_too(
    servers: Servers, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    resolver = Resolver(Options(), nursery=nursery, lifetime=float("inf"), ask=servers.ask)
    servers.delay = 3600.0
    with pytest.raises(ResolveTimeout, match="no answer within 30 s"):
        await resolver.resolve(POD)


async def test_a_failure_is_asked_again_after_a_moment(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.fail()
    with pytest.raises(ResolveFailed, match="down"):
        await resolver.resolve(POD)
    servers.set("10.0.0.1")
    await trio.sleep(FAILURE_TTL - MOMENT)
    with pytest.raises(ResolveFailed, match="down"):
        await resolver.resolve(POD)
    await trio.sleep(MOMENT)
    assert await resolver.resolve(POD) == fresh("10.0.0.1")


async def test_servers_that_fail_are_left_alone_for_a_while(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1")
    await resolver.resolve(POD)
    await trio.sleep(5.0)
    servers.fail()
    assert await resolver.resolve(POD) == old("10.0.0.1")
    servers.set("10.0.0.2")
    await trio.sleep(RETRY_INTERVAL - MOMENT)
    assert resolver.cached(POD) == old("10.0.0.1")
    assert await resolver.resolve(POD, refresh=True) == old("10.0.0.1")
    assert servers.asked == 2
    await trio.sleep(MOMENT)
    assert await resolver.resolve(POD) == fresh("10.0.0.2")
    assert (resolver.counters.queries, resolver.counters.failures) == (3, 1)
    assert (resolver.counters.stale_answers, resolver.counters.cache_hits) == (3, 0)


async def test_with_an_older_answer_the_caller_is_served_before_its_deadline(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1", ttl=0.0)
    await resolver.resolve(POD)
    servers.delay = 3600.0
    with trio.fail_after(1.0):  # a route's own deadline, shorter than the lookup's lifetime
        assert await resolver.resolve(POD) == old("10.0.0.1")
    assert trio.current_time() == pytest.approx(0.9)
    assert await resolver.resolve(POD) == old("10.0.0.1")
    assert trio.current_time() == pytest.approx(LIFETIME)  # joined, without a deadline of its own
    assert servers.asked == 2


async def test_known_failing_servers_get_little_time(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1", ttl=0.0)
    await resolver.resolve(POD)
    servers.delay = 3600.0
    await resolver.resolve(POD)
    await trio.sleep(RETRY_INTERVAL)
    before = trio.current_time()
    assert await resolver.resolve(POD) == old("10.0.0.1")
    assert trio.current_time() - before == pytest.approx(STALE_TIMEOUT)
    servers.set("10.0.0.2")
    servers.delay = 0.0
    await trio.sleep(LIFETIME + RETRY_INTERVAL)
    assert await resolver.resolve(POD) == fresh("10.0.0.2")


async def test_a_caller_that_is_cancelled_already(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1", ttl=0.0)
    await resolver.resolve(POD)
    servers.delay = 1.0
    with trio.CancelScope() as scope:
        scope.cancel()
        await resolver.resolve(POD)
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


async def test_a_name_that_is_gone_is_not_served_from_the_past(
    servers: Servers, resolver: Resolver, autojump_clock: MockClock
) -> None:
    servers.set("10.0.0.1")
    await resolver.resolve(POD)
    await trio.sleep(5.0)
    servers.outcome = GONE
    with pytest.raises(NameNotFound):
        await resolver.resolve(POD)
    await trio.sleep(NEGATIVE_TTL)
    servers.fail()
    with pytest.raises(ResolveFailed):
        await resolver.resolve(POD)


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


@pytest.mark.parametrize("ipv6", [False, True])
async def test_a_bug_fails_the_name_and_not_the_worker(
    servers: Servers, nursery: trio.Nursery, autojump_clock: MockClock, ipv6: bool
) -> None:
    resolver = Resolver(Options(ipv6=ipv6), nursery=nursery, lifetime=LIFETIME, ask=servers.ask)
    servers.outcome = KeyError("a bug")
    with pytest.raises(ResolveFailed, match="a bug"):
        await resolver.resolve(POD)
    servers.set("10.0.0.1")
    assert (await resolver.resolve("pod-1.example")).addresses[0] == "10.0.0.1"


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


async def test_when_the_resolver_stops_everybody_wakes(servers: Servers, autojump_clock: MockClock) -> None:
    servers.delay = 3600.0
    failures = []

    async def call(resolver: Resolver) -> None:
        with pytest.raises(ResolveFailed, match="has stopped") as failure:
            await resolver.resolve(POD)
        failures.append(failure.value)

    async with trio.open_nursery() as callers:
        async with trio.open_nursery() as nursery:
            resolver = Resolver(Options(), nursery=nursery, lifetime=LIFETIME, ask=servers.ask)
            callers.start_soon(call, resolver)
            callers.start_soon(call, resolver)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await call(resolver)
    assert len(failures) == 3


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
