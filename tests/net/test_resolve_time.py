"""In virtual time, with name servers that are a function: how long an answer lasts, and how long one is waited for."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from splicer.errors import NameNotFound, ResolveFailed, ResolveTimeout
from splicer.net.cache import FAILURE_TTL, NEGATIVE_TTL, RETRY_INTERVAL
from splicer.net.resolve import STALE_TIMEOUT, Resolver
from tests.net.virtual import GONE, LIFETIME, MAX_TTL, MOMENT, POD, Options, Servers, fresh, old


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
