"""Against a real name server whose records change."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from attrs import evolve, field, frozen

from splicer.errors import NameNotFound, ResolveFailed, ResolveTimeout
from splicer.net import resolve as module
from splicer.net.resolve import Answer, Resolver
from tests.kit.dns_server import DnsServer
from tests.kit.garbage import counting_garbage

POD = "voice-agent-0.voice-agent.example"
LIFETIME = 8.0
SHORT = 0.5  # where silence must be waited for


@frozen
class Options:
    nameservers: tuple[tuple[str, int], ...] = ()
    max_ttl: float = 10.0
    ipv6: bool = True
    hosts: Mapping[str, tuple[str, ...]] = field(factory=dict)


@pytest.fixture
async def server(nursery: trio.Nursery) -> DnsServer:
    return await DnsServer.start(nursery)


def resolver_at(
    *servers: DnsServer, nursery: trio.Nursery, lifetime: float = LIFETIME, max_ttl: float = 10.0, ipv6: bool = True
) -> Resolver:
    options = Options(tuple((server.host, server.port) for server in servers), max_ttl, ipv6)
    return Resolver(options, nursery=nursery, lifetime=lifetime)


async def test_both_families_ipv4_first(server: DnsServer, nursery: trio.Nursery) -> None:
    server.set(POD, "::1", "127.0.0.11", "127.0.0.10")
    resolver = resolver_at(server, nursery=nursery)
    assert await resolver.resolve(POD) == Answer(("127.0.0.11", "127.0.0.10", "::1"), fresh=True)
    assert (server.count(POD, "A"), server.count(POD, "AAAA")) == (1, 1)


async def test_without_ipv6_nobody_asks_for_it(server: DnsServer, nursery: trio.Nursery) -> None:
    server.set(POD, "127.0.0.10", "::1")
    resolver = resolver_at(server, nursery=nursery, ipv6=False)
    assert (await resolver.resolve(POD)).addresses == ("127.0.0.10",)
    assert server.count(kind="AAAA") == 0


async def test_the_cache_answers_the_second_time(server: DnsServer, nursery: trio.Nursery) -> None:
    server.set(POD, "127.0.0.10")
    resolver = resolver_at(server, nursery=nursery)
    assert resolver.cached(POD) is None
    await resolver.resolve(POD)
    assert resolver.cached(POD.upper() + ".") == Answer(("127.0.0.10",), fresh=False)
    assert await resolver.resolve(POD) == Answer(("127.0.0.10",), fresh=False)
    assert server.count(POD, "A") == 1
    assert (resolver.counters.queries, resolver.counters.cache_hits) == (1, 2)


async def test_a_pod_recreated_with_a_new_address(server: DnsServer, nursery: trio.Nursery) -> None:
    resolver = resolver_at(server, nursery=nursery)
    server.set(POD, "127.0.0.10")
    await resolver.resolve(POD)
    server.set(POD, "127.0.0.20")
    assert (await resolver.resolve(POD)).addresses == ("127.0.0.10",)
    assert await resolver.resolve(POD, refresh=True) == Answer(("127.0.0.20",), fresh=True)
    assert resolver.cached(POD) == Answer(("127.0.0.20",), fresh=False)


async def test_a_hundred_callers_are_one_question(server: DnsServer, nursery: trio.Nursery) -> None:
    server.set(POD, "127.0.0.10", ttl=0)
    server.misbehave(delay=0.01)
    resolver = resolver_at(server, nursery=nursery)
    answers = []

    async def call() -> None:
        answers.append(await resolver.resolve(POD))

    async with trio.open_nursery() as callers:
        for _ in range(100):
            callers.start_soon(call)
    assert answers == [Answer(("127.0.0.10",), fresh=True)] * 100
    assert (server.count(POD, "A"), server.count(POD, "AAAA")) == (1, 1)
    await resolver.resolve(POD)
    assert server.count(POD, "A") == 2  # a TTL of 0 is not cached


async def test_a_name_that_goes_and_comes_back(server: DnsServer, nursery: trio.Nursery) -> None:
    server.negative_ttl = 0
    server.set(POD, "127.0.0.10", ttl=0)
    resolver = resolver_at(server, nursery=nursery)
    await resolver.resolve(POD)
    server.remove(POD)
    with pytest.raises(NameNotFound, match=f"there is no name {POD}"):
        await resolver.resolve(POD)
    server.set(POD)
    with pytest.raises(NameNotFound, match=f"{POD} has no address"):
        await resolver.resolve(POD)
    server.set(POD, "127.0.0.20", ttl=0)
    assert (await resolver.resolve(POD)).addresses == ("127.0.0.20",)


async def test_no_such_name_is_remembered_briefly(server: DnsServer, nursery: trio.Nursery) -> None:
    resolver = resolver_at(server, nursery=nursery)
    failures = []
    for _ in range(3):
        with pytest.raises(NameNotFound) as failure:
            await resolver.resolve(POD)
        failures.append(failure.value)
    assert server.count(POD, "A") == 1
    assert len(set(map(id, failures))) == 3  # each caller gets its own, with its own traceback


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
async def test_the_last_good_answer_when_the_servers_decline(
    server: DnsServer, nursery: trio.Nursery, rcode: str
) -> None:
    server.set(POD, "127.0.0.10", ttl=0)
    resolver = resolver_at(server, nursery=nursery)
    await resolver.resolve(POD)
    server.misbehave(rcode=rcode)
    assert await resolver.resolve(POD) == Answer(("127.0.0.10",), fresh=False)
    assert resolver.cached(POD) == Answer(("127.0.0.10",), fresh=False)
    assert await resolver.resolve(POD, refresh=True) == Answer(("127.0.0.10",), fresh=False)
    assert server.count(POD, "A") == (3 if rcode == "SERVFAIL" else 2)  # that may pass, so it is asked once more
    assert (resolver.counters.failures, resolver.counters.stale_answers) == (1, 3)
    with pytest.raises(ResolveFailed, match=rcode):
        await resolver.resolve("other.example")


async def test_the_last_good_answer_comes_before_the_callers_deadline_when_the_servers_are_silent(
    server: DnsServer, nursery: trio.Nursery
) -> None:
    server.set(POD, "127.0.0.10", ttl=0)
    resolver = resolver_at(server, nursery=nursery, lifetime=SHORT)
    await resolver.resolve(POD)
    server.misbehave(silent=True)
    with trio.fail_after(SHORT):
        assert await resolver.resolve(POD) == Answer(("127.0.0.10",), fresh=False)


async def test_silent_servers_and_no_earlier_answer(server: DnsServer, nursery: trio.Nursery) -> None:
    server.misbehave(silent=True)
    resolver = resolver_at(server, nursery=nursery, lifetime=SHORT)
    with pytest.raises(ResolveTimeout, match="is silent"):
        await resolver.resolve(POD)
    server.behave()
    with pytest.raises(ResolveTimeout, match="is silent"):  # remembered for a moment
        await resolver.resolve(POD)


async def test_a_silent_aaaa_delays_no_call(server: DnsServer, nursery: trio.Nursery) -> None:
    server.set(POD, "127.0.0.10")
    server.misbehave(kind="AAAA", silent=True)
    resolver = resolver_at(server, nursery=nursery, lifetime=60.0)
    with trio.fail_after(1.0):
        assert (await resolver.resolve(POD)).addresses == ("127.0.0.10",)


async def test_a_failing_aaaa_spoils_nothing(server: DnsServer, nursery: trio.Nursery) -> None:
    server.set(POD, "127.0.0.10")
    server.misbehave(kind="AAAA", rcode="SERVFAIL")
    assert (await resolver_at(server, nursery=nursery).resolve(POD)).addresses == ("127.0.0.10",)


async def test_a_dead_first_server(server: DnsServer, nursery: trio.Nursery) -> None:
    second = await DnsServer.start(nursery, "127.0.0.2")
    second.set(POD, "127.0.0.10")
    second.set("other.example", "127.0.0.11")
    server.misbehave(silent=True)
    resolver = resolver_at(server, second, nursery=nursery, lifetime=2.0)
    assert (await resolver.resolve(POD)).addresses == ("127.0.0.10",)
    assert (await resolver.resolve("other.example")).addresses == ("127.0.0.11",)
    assert server.count("other.example") == 0


async def test_a_truncated_answer(server: DnsServer, nursery: trio.Nursery) -> None:
    server.set(POD, "127.0.0.10", "::1")
    server.misbehave(truncated=True)
    assert (await resolver_at(server, nursery=nursery).resolve(POD)).addresses == ("127.0.0.10", "::1")


async def test_without_name_servers_only_what_needs_none_resolves(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "system_nameservers", tuple)
    resolver = Resolver(Options(hosts={"pod-0.example": ("127.0.0.10", "127.0.0.11")}), nursery=nursery, lifetime=1.0)
    assert resolver.cached("Pod-0.Example.") == Answer(("127.0.0.10", "127.0.0.11"), fresh=True)
    with pytest.raises(ResolveFailed, match="no name server"):
        await resolver.resolve(POD)


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("localhost", ("127.0.0.1", "::1")),
        ("LocalHost.", ("127.0.0.1", "::1")),
        ("pod-0.localhost", ("127.0.0.1", "::1")),
        ("10.1.2.3", ("10.1.2.3",)),
        ("FD00:0::1", ("fd00::1",)),
        ("override.localhost", ("127.0.0.9",)),
    ],
)
async def test_names_that_need_no_server(nursery: trio.Nursery, name: str, addresses: tuple[str, ...]) -> None:
    options = Options((("127.0.0.1", 9),), hosts={"override.localhost": ("127.0.0.9",)})
    resolver = Resolver(options, nursery=nursery, lifetime=1.0)
    assert resolver.cached(name) == Answer(addresses, fresh=True)
    assert await resolver.resolve(name, refresh=True) == Answer(addresses, fresh=True)
    assert resolver.counters.queries == 0


async def test_localhost_has_no_ipv6_where_ipv6_is_off(nursery: trio.Nursery) -> None:
    resolver = Resolver(Options(ipv6=False), nursery=nursery, lifetime=1.0)
    assert resolver.cached("localhost") == Answer(("127.0.0.1",), fresh=True)


@pytest.mark.parametrize("name", ["127.1", "0x7f000001", "notlocalhost", "localhost.example"])
async def test_names_that_only_look_so_are_asked_for(server: DnsServer, nursery: trio.Nursery, name: str) -> None:
    resolver = resolver_at(server, nursery=nursery)
    with pytest.raises(NameNotFound):
        await resolver.resolve(name)
    assert server.count(name, "A") == 1


async def test_what_is_known_needs_no_question_and_is_not_counted(server: DnsServer, nursery: trio.Nursery) -> None:
    options = Options(((server.host, server.port),), hosts={"pod-0.example": ("127.0.0.10", "127.0.0.11")})
    resolver = Resolver(options, nursery=nursery, lifetime=LIFETIME)
    server.set(POD, "127.0.0.20", "::1")
    assert resolver.known(POD) == ()
    assert server.count() == 0
    await resolver.resolve(POD)
    counters = evolve(resolver.counters)
    assert resolver.known(POD.upper() + ".") == ("127.0.0.20", "::1")
    assert resolver.known("Pod-0.Example.") == ("127.0.0.10", "127.0.0.11")
    assert resolver.known("10.1.2.3") == ("10.1.2.3",)
    assert resolver.known("localhost") == ("127.0.0.1", "::1")
    assert resolver.known("other.example") == ()
    assert (resolver.counters, server.count("other.example")) == (counters, 0)


async def test_what_was_known_is_known_until_the_name_is_gone(server: DnsServer, nursery: trio.Nursery) -> None:
    server.set(POD, "127.0.0.20", ttl=0)
    resolver = resolver_at(server, nursery=nursery)
    await resolver.resolve(POD)
    assert resolver.cached(POD) is None
    assert resolver.known(POD) == ("127.0.0.20",), "old, but better than nothing"
    server.remove(POD)
    with pytest.raises(NameNotFound):
        await resolver.resolve(POD)
    assert resolver.known(POD) == ()


async def test_what_was_known_is_known_while_the_servers_fail(server: DnsServer, nursery: trio.Nursery) -> None:
    server.set(POD, "127.0.0.20", ttl=0)
    resolver = resolver_at(server, nursery=nursery)
    await resolver.resolve(POD)
    server.misbehave(rcode="SERVFAIL")
    await resolver.resolve(POD)
    stale = resolver.counters.stale_answers
    assert resolver.known(POD) == ("127.0.0.20",)
    assert resolver.counters.stale_answers == stale


@pytest.mark.parametrize("how", [{}, {"rcode": "SERVFAIL"}, {"rcode": "NXDOMAIN"}, {"silent": True}, {"garbage": b"x"}])
async def test_no_answer_leaves_garbage(server: DnsServer, nursery: trio.Nursery, how: dict[str, Any]) -> None:
    """Each is kept for those who ask next, and what is kept must not hold the frames of the lookup."""
    server.set(POD, "127.0.0.10")
    server.misbehave(**how)
    with counting_garbage() as count:
        for _ in range(2):
            resolver = resolver_at(server, nursery=nursery, lifetime=SHORT)
            for _ in range(2):
                with suppress(NameNotFound, ResolveFailed):
                    await resolver.resolve(POD)
        del resolver
        await trio.testing.wait_all_tasks_blocked()
        assert count() == 0
