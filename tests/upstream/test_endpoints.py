from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_network

import pytest
import trio
import trio.testing
from attrs import define, field, frozen

from splicer.errors import AddressNotAllowed, NameNotFound, NoEndpoint
from splicer.model import Endpoint, Network, Upstream
from splicer.net.resolve import Answer, Resolver
from splicer.policy.tiers import Purpose
from splicer.routing.template import parse_template
from splicer.upstream.balance import Balancer
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.source import Candidates, NameSource
from tests.kit.dns_server import DnsServer

POD = "voice-agent-0.voice-agent.example"
SERVICE = "voice-agent.example"


def upstream(host: str, allow: tuple[Network, ...] | None = None, balance: str = "round-robin") -> Upstream:
    return Upstream("an-upstream", parse_template(host), 8000, allow, balance)


ONE_POD = upstream("{pod}.voice-agent.example")
ANY_POD = upstream(SERVICE)


@define
class Names:
    """A resolver of which each test says what it knows."""

    cache: dict[str, tuple[str, ...]] = field(factory=dict)
    zone: dict[str, tuple[str, ...]] = field(factory=dict)
    resolved: list[tuple[str, bool]] = field(factory=list)

    def cached(self, name: str) -> Answer | None:
        return Answer(self.cache[name], fresh=False) if name in self.cache else None

    def known(self, name: str) -> tuple[str, ...]:
        return self.cache.get(name, ())

    async def resolve(self, name: str, *, refresh: bool = False) -> Answer:
        self.resolved.append((name, refresh))
        if name not in self.zone:
            raise NameNotFound(name)
        return Answer(self.zone[name], fresh=True)


def choose_from(names: Names) -> Endpoints:
    return Endpoints(NameSource(names), Balancer())


async def test_a_captured_host_is_called_by_its_pod() -> None:
    names = Names(zone={POD: ("10.0.0.1",)})
    choice = await choose_from(names).choose(ONE_POD, POD)
    assert choice == Candidates((Endpoint("voice-agent-0", "10.0.0.1", 8000),), fresh=True)


async def test_a_fixed_host_is_called_by_its_whole_name() -> None:
    names = Names(zone={SERVICE: ("10.0.0.1",)})
    choice = await choose_from(names).choose(ANY_POD, SERVICE)
    assert choice.endpoints == (Endpoint(SERVICE, "10.0.0.1", 8000),)


async def test_what_the_cache_knows_is_not_asked_for() -> None:
    names = Names(cache={POD: ("10.0.0.1",)})
    with trio.testing.assert_no_checkpoints():
        choice = await choose_from(names).choose(ONE_POD, POD)
    assert choice == Candidates((Endpoint("voice-agent-0", "10.0.0.1", 8000),), fresh=False)
    assert names.resolved == []


async def test_a_refresh_passes_the_cache_by() -> None:
    names = Names(cache={POD: ("10.0.0.1",)}, zone={POD: ("10.0.0.2",)})
    choice = await choose_from(names).choose(ONE_POD, POD, refresh=True)
    assert choice == Candidates((Endpoint("voice-agent-0", "10.0.0.2", 8000),), fresh=True)
    assert names.resolved == [(POD, True)]


async def test_a_name_that_is_not_there() -> None:
    with pytest.raises(NameNotFound):
        await choose_from(Names()).choose(ONE_POD, POD)


async def test_addresses_outside_the_networks_are_left_out() -> None:
    names = Names(zone={SERVICE: ("11.0.0.1", "10.0.0.1", "169.254.169.254")})
    choice = await choose_from(names).choose(upstream(SERVICE, (ip_network("10.0.0.0/8"),)), SERVICE)
    assert [endpoint.address for endpoint in choice.endpoints] == ["10.0.0.1"]


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("169.254.169.254", "::1")])
async def test_no_allowed_address_is_an_error_that_names_them(addresses: tuple[str, ...]) -> None:
    names = Names(zone={POD: addresses})
    with pytest.raises(AddressNotAllowed) as failure:
        await choose_from(names).choose(ONE_POD, POD)
    assert str(failure.value) == f"{POD} is {', '.join(addresses)}: not allowed for upstream an-upstream"


async def test_what_has_just_failed_is_left_out() -> None:
    names = Names(zone={SERVICE: ("10.0.0.1", "10.0.0.2")})
    exclude = frozenset({("10.0.0.1", 8000), ("10.0.0.2", 9999)})
    choice = await choose_from(names).choose(ANY_POD, SERVICE, exclude=exclude)
    assert [endpoint.address for endpoint in choice.endpoints] == ["10.0.0.2"]


async def test_nothing_left() -> None:
    names = Names(zone={SERVICE: ("10.0.0.1",)})
    with pytest.raises(
        NoEndpoint, match=rf"{SERVICE}: no address left but what has just failed, or is being drained: 10.0.0.1"
    ):
        await choose_from(names).choose(ANY_POD, SERVICE, exclude=frozenset({("10.0.0.1", 8000)}))
    assert names.resolved == [(SERVICE, False)]


async def test_a_cache_that_knows_only_what_has_failed_is_passed_by() -> None:
    names = Names(cache={SERVICE: ("10.0.0.1",)}, zone={SERVICE: ("10.0.0.1", "10.0.0.2")})
    choice = await choose_from(names).choose(ANY_POD, SERVICE, exclude=frozenset({("10.0.0.1", 8000)}))
    assert choice == Candidates((Endpoint(SERVICE, "10.0.0.2", 8000),), fresh=True)


async def test_at_hand_is_only_what_the_cache_knows() -> None:
    endpoints = choose_from(
        Names(cache={POD: ("10.0.0.1",), SERVICE: ("127.0.0.1",)}, zone={"new.example": ("10.0.0.2",)})
    )
    choice = Candidates((Endpoint("voice-agent-0", "10.0.0.1", 8000),), fresh=False)
    assert endpoints.at_hand(ONE_POD, POD, frozenset()) == choice
    assert endpoints.at_hand(ONE_POD, POD, frozenset({("10.0.0.1", 8000)})) is None
    assert endpoints.at_hand(ANY_POD, "new.example", frozenset()) is None
    with pytest.raises(AddressNotAllowed):
        endpoints.at_hand(ANY_POD, SERVICE, frozenset())


async def test_the_upstreams_policy_orders() -> None:
    names = Names(zone={SERVICE: ("10.0.0.1", "10.0.0.2", "10.0.0.3")})
    balancer = Balancer()
    endpoints = Endpoints(NameSource(names), balancer)
    least = upstream(SERVICE, balance="least-tunnels")
    with balancer.hold(Endpoint("x", "10.0.0.1", 8000)), balancer.hold(Endpoint("x", "10.0.0.3", 8000)):
        choice = await endpoints.choose(least, SERVICE)
    assert choice.endpoints[0].address == "10.0.0.2"
    assert len(choice.endpoints) == 3


@frozen
class Options:
    nameservers: tuple[tuple[str, int], ...]
    max_ttl: float = 10.0
    ipv6: bool = False
    hosts: Mapping[str, tuple[str, ...]] = field(factory=dict)


async def test_a_pod_that_was_recreated_is_found_at_its_new_address(nursery: trio.Nursery) -> None:
    server = await DnsServer.start(nursery)
    server.set(POD, "10.0.0.1")
    resolver = Resolver(Options(((server.host, server.port),)), nursery=nursery, lifetime=8.0)
    endpoints = Endpoints(NameSource(resolver), Balancer())
    await endpoints.choose(ONE_POD, POD)
    server.set(POD, "10.0.0.2")
    before = await endpoints.choose(ONE_POD, POD)
    assert before == Candidates((Endpoint("voice-agent-0", "10.0.0.1", 8000),), fresh=False)
    after = await endpoints.choose(ONE_POD, POD, refresh=True)
    assert after == Candidates((Endpoint("voice-agent-0", "10.0.0.2", 8000),), fresh=True)


async def test_the_known_ones_that_may_be_dialled() -> None:
    names = Names(cache={SERVICE: ("10.0.0.1", "192.168.0.1", "169.254.169.254")})
    within = upstream(SERVICE, allow=(ip_network("10.0.0.0/8"),))
    assert choose_from(names).known(within, SERVICE) == (Endpoint(SERVICE, "10.0.0.1", 8000),)
    assert names.resolved == []


@pytest.mark.parametrize(
    ("cache", "zone", "left", "asked"),
    [
        (None, ("10.0.0.2",), True, [False]),
        (None, ("10.0.0.1",), False, [False]),
        (("10.0.0.2",), (), True, []),
        (("10.0.0.1",), ("10.0.0.1", "10.0.0.2"), True, [True]),
        (("10.0.0.1",), ("10.0.0.1",), False, [True]),
        (("192.168.0.1",), ("192.168.0.1",), False, [True]),
    ],
)
async def test_whether_any_is_left(
    cache: tuple[str, ...] | None, zone: tuple[str, ...], left: bool, asked: list[bool]
) -> None:
    names = Names(cache={SERVICE: cache} if cache else {}, zone={SERVICE: zone})
    within = upstream(SERVICE, allow=(ip_network("10.0.0.0/8"),))
    endpoints = choose_from(names)
    assert await endpoints.any_left(within, SERVICE, frozenset({("10.0.0.1", 8000)})) is left
    assert [refresh for _, refresh in names.resolved] == asked


@define
class _Judged:
    """A source whose endpoints have verdicts."""

    found: Candidates

    def at_hand(self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST) -> Candidates:
        return self.found

    async def find(
        self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST, *, refresh: bool = False
    ) -> Candidates:
        return self.found

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        return self.found.endpoints

    def of_pods(self, pods: Collection[str]) -> tuple[Endpoint, ...]:
        return ()


@pytest.mark.parametrize(("unfit", "first"), [(1, {"10.0.0.2", "10.0.0.3"}), (2, {"10.0.0.1", "10.0.0.2", "10.0.0.3"})])
async def test_those_that_may_not_be_dialled_are_not_counted_as_fit(unfit: int, first: set[str]) -> None:
    """Of a pod with an address of each family, `allow` may have one: half of the endpoints would never be unfit."""
    ours, theirs = ("10.0.0.1", "10.0.0.2", "10.0.0.3"), ("fd00::1", "fd00::2", "fd00::3")
    behind = frozenset((address, 8000) for address in ours[:unfit])
    found = Candidates(tuple(Endpoint("p", address, 8000) for address in ours + theirs), fresh=True, behind=behind)
    endpoints = Endpoints(_Judged(found), Balancer())
    of_ours = upstream(SERVICE, allow=(ip_network("10.0.0.0/8"),))
    seen = {(await endpoints.choose(of_ours, SERVICE)).endpoints[0].address for _ in range(12)}
    assert seen == first
