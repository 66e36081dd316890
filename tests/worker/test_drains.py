"""Which addresses a drain covers, and when it is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.config.load import load
from splicer.errors import ResolveFailed
from splicer.ipc.facts import OperatorDrains
from splicer.net.dns_names import RdataType
from splicer.net.dns_query import Records
from splicer.net.resolve import Resolver
from splicer.session.context import Drains
from splicer.upstream.snapshot_source import SnapshotSource
from splicer.upstream.source import NameSource
from splicer.worker.drains import DrainOrders
from tests.upstream.snapshots import Snapshot, found, row

_CONFIG = """
[resolver]
ipv6 = false
[resolver.hosts]
"pod-1.pods.test" = ["10.0.0.1", "10.1.0.1"]
"pod-2.pods.test" = "10.0.0.2"
"pod-1.spares.test" = "10.2.0.1"

[upstreams.pod]
address = "{pod}.pods.test:8000"

[upstreams.spare]
address = "{name}.spares.test:9000"

[upstreams.any-pod]
address = "pods.test:8000"

[upstreams.two]
address = "{pod}.{zone}.test:1000"

[[routes]]
name = "call"
path = "/"
upstream = "any-pod"
"""
_PORTS = (8000, 9000, 1000)


def _at(*addresses: str) -> frozenset[tuple[str, int]]:
    return frozenset((address, port) for address in addresses for port in _PORTS)


class Following:
    """A worker's side: what it is told to avoid, one value after the other; and a name server."""

    def __init__(self, nursery: trio.Nursery) -> None:
        config = load(_CONFIG, environ={})
        self.told: list[Drains] = []
        self.names: dict[str, str] = {}
        self.answer: Callable[[], None] = lambda: None
        self.slow = 0.0
        self.asked: list[str] = []
        self.upstreams = dict(config.upstreams)
        self.resolver = Resolver(config.resolver, nursery=nursery, lifetime=30.0, ask=self._ask)
        self.failed: list[Exception] = []
        self.orders = DrainOrders(
            self.told.append,
            lambda: self.upstreams,
            lambda: NameSource(self.resolver),
            lambda error: self.failed.append(error),
        )

    async def _ask(self, name: str, _: RdataType) -> Records:
        self.asked.append(name)
        await trio.sleep(self.slow)
        self.answer()
        if name in self.names:
            return Records((self.names[name],), 1.0)
        return Records((), 0.0, exists=False)

    async def follow(self, *pods: str, routes: tuple[str, ...] = ()) -> Drains:
        """What is to be avoided when the order has been followed."""
        await self.orders.follow(OperatorDrains(pods=dict.fromkeys(pods, 1.0), routes=dict.fromkeys(routes, 1.0)))
        return self.told[-1] if self.told else Drains()


@pytest.fixture
async def following(nursery: trio.Nursery) -> Following:
    return Following(nursery)


async def test_a_drained_pod_is_known_by_its_name_and_all_its_addresses(following: Following) -> None:
    assert await following.follow("pod-1", routes=("call",)) == Drains(
        frozenset({"pod-1"}), frozenset({"call"}), _at("10.0.0.1", "10.1.0.1", "10.2.0.1")
    )
    assert [drains.pods for drains in following.told] == [{"pod-1"}] * 2, "its name at once"
    assert following.told[0].endpoints == frozenset()


async def test_each_order_says_all_that_there_is(following: Following) -> None:
    await following.follow("pod-1")
    both = await following.follow("pod-1", "pod-2")
    assert both == Drains(frozenset({"pod-1", "pod-2"}), endpoints=_at("10.0.0.1", "10.1.0.1", "10.2.0.1", "10.0.0.2"))
    one = await following.follow("pod-2")
    assert one == Drains(frozenset({"pod-2"}), endpoints=_at("10.0.0.2"))
    assert await following.follow(routes=("call",)) == Drains(routes=frozenset({"call"}))
    assert await following.follow() == Drains()


async def test_what_is_the_same_is_not_told_again(following: Following) -> None:
    await following.follow("pod-2")
    told = len(following.told)
    await following.follow("pod-2")
    assert len(following.told) == told


async def test_nothing_to_drain_is_nothing_to_tell(following: Following) -> None:
    await following.follow()
    assert following.told == []


@pytest.mark.parametrize("address", ["10.0.0.7", "fd00::7"])
async def test_a_pod_may_be_an_address(following: Following, address: str) -> None:
    assert (await following.follow(address)).endpoints == _at(address)
    assert not following.asked


@pytest.mark.parametrize("name", ["pods.test", "no label", "-", "x" * 64, "pod-9"])
async def test_a_pod_that_has_no_address_is_drained_by_its_name(following: Following, name: str) -> None:
    assert await following.follow(name) == Drains(pods=frozenset({name}))


async def test_a_pod_that_is_recreated_elsewhere_is_drained_there_too(
    following: Following, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    following.names["pod-5.pods.test"] = "10.0.0.5"
    assert (await following.follow("pod-5")).endpoints == _at("10.0.0.5")
    nursery.start_soon(following.orders.run)
    following.names["pod-5.pods.test"] = "10.0.0.55"
    await trio.sleep(5)
    assert following.told[-1].endpoints == _at("10.0.0.55")
    del following.names["pod-5.pods.test"]
    await trio.sleep(5)
    assert following.told[-1].endpoints == _at("10.0.0.55"), "while its name is away"
    assert len(following.told) == 3


async def test_upstreams_that_come_with_a_reload_are_covered(
    following: Following, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    spare = following.upstreams.pop("spare")
    nursery.start_soon(following.orders.run)
    assert (await following.follow("pod-1")).endpoints == {
        (address, port) for address in ("10.0.0.1", "10.1.0.1") for port in (8000, 1000)
    }
    following.upstreams["spare"] = spare
    await trio.sleep(3)
    assert following.told[-1].endpoints == _at("10.0.0.1", "10.1.0.1", "10.2.0.1")


async def test_a_silent_name_server_delays_an_order_only_so_long(
    following: Following, autojump_clock: MockClock
) -> None:
    following.slow = 25.0
    began = trio.current_time()
    drains = await following.follow("pod-2", "pod-5")
    assert trio.current_time() - began == pytest.approx(2.0, abs=0.1), "two seconds, for all names at once"
    assert drains == Drains(frozenset({"pod-2", "pod-5"}), endpoints=_at("10.0.0.2"))
    assert following.told[0].pods == drains.pods


async def test_a_name_server_that_fails_leaves_what_was_known(
    following: Following, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    def fail() -> None:
        raise ResolveFailed("nobody answers")

    following.names["pod-5.pods.test"] = "10.0.0.5"
    await following.follow("pod-5")
    following.answer = fail
    nursery.start_soon(following.orders.run)
    await trio.sleep(20)
    assert following.told[-1].endpoints == _at("10.0.0.5")


async def test_a_bug_does_not_end_the_look_out_and_is_told(
    following: Following, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    following.names["pod-5.pods.test"] = "10.0.0.5"
    await following.follow("pod-5")
    nursery.start_soon(following.orders.run)
    resolver = following.resolver
    del following.resolver
    await trio.sleep(5)
    assert following.failed
    following.resolver = resolver
    following.names["pod-5.pods.test"] = "10.0.0.55"
    await trio.sleep(5)
    assert following.told[-1].endpoints == _at("10.0.0.55")


async def test_the_newest_order_stands_even_if_an_older_one_takes_longer(
    following: Following, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    following.slow = 1.5
    following.names |= {"pod-5.pods.test": "10.0.0.5", "pod-5.spares.test": "10.0.0.6"}
    nursery.start_soon(following.follow, "pod-5")
    await wait_all_tasks_blocked()
    assert await following.follow("pod-2") == Drains(frozenset({"pod-2"}), endpoints=_at("10.0.0.2"))
    await trio.sleep(10)
    assert following.told[-1] == Drains(frozenset({"pod-2"}), endpoints=_at("10.0.0.2"))


# ---- pods that discovery knows ----


async def test_pods_that_discovery_knows_are_drained_at_their_own_ports(following: Following) -> None:
    snapshot = Snapshot()
    snapshot.publish(
        {"voice/agent:ws": found(row("pod-7", "10.7.0.1", port=9999), row("pod-8", "10.7.0.2", port=9999))}
    )
    source = SnapshotSource(NameSource(following.resolver), snapshot.reader)
    following.orders = DrainOrders(
        following.told.append, lambda: following.upstreams, lambda: source, following.failed.append
    )
    assert (await following.follow("pod-7")).endpoints == {("10.7.0.1", 9999)}
    assert (await following.follow("pod-1")).endpoints == _at("10.0.0.1", "10.1.0.1", "10.2.0.1")
