"""Names: records that change, pods that come back elsewhere, many addresses, many who ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.e2e.dnsedge import dns_edge, get, served_by, start_dns
from tests.kit.calls import handshake
from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.wire import ask, dial


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with dns_edge() as edge:
        yield edge


@pytest.fixture
async def dns(edge: Edge, nursery: trio.Nursery) -> DnsServer:
    return await start_dns(edge, nursery)


async def test_a_record_that_changes_is_followed_within_its_time(
    edge: Edge, dns: DnsServer, nursery: trio.Nursery
) -> None:
    old, new = edge.site.take(), edge.site.take()
    for place in (old, new):
        await http_pod(nursery, place.address, place.port)
    dns.set("changing.dns.test", old.address, ttl=3600)
    for _ in range(5):
        assert (await get(edge, "changing")).body == old.address.encode()
    assert dns.count("changing.dns.test", "A") == 1
    dns.set("changing.dns.test", new.address, ttl=3600)
    await served_by(edge, "changing", new.address)


async def test_a_pod_that_was_recreated_elsewhere_is_found_before_any_fallback(
    edge: Edge, dns: DnsServer, nursery: trio.Nursery
) -> None:
    old, new, other = edge.site.take(), edge.site.take(), edge.site.take()
    pods = {place: await tunnel_pod(nursery, place.address, place.port) for place in (old, new, other)}
    dns.set("recreated.others.test", other.address)
    dns.set("recreated.dns.test", old.address)

    async def ring() -> int:
        async with dial(edge.address) as wire:
            await wire.send(handshake("/call/recreated/x"))
            return (await wire.reply()).status

    assert await ring() == 101
    pods[old].stop()
    dns.set("recreated.dns.test", new.address)
    await trio.sleep(0.05)
    assert await ring() == 101
    assert [len(pods[place].seen) for place in (old, new, other)] == [1, 1, 0]
    assert pods[new].seen[0].values("X-Splicer-Fallback-From") == []


async def test_a_pod_that_is_still_down_falls_back(edge: Edge, dns: DnsServer, nursery: trio.Nursery) -> None:
    down, other = edge.site.take(), edge.site.take()
    twin = await tunnel_pod(nursery, other.address, other.port)
    dns.set("down.others.test", other.address)
    dns.set("down.dns.test", down.address)
    for _ in range(2):
        async with dial(edge.address) as wire:
            await wire.send(handshake("/call/down/x"))
            assert (await wire.reply()).status == 101
    assert [seen.values("X-Splicer-Fallback-From") for seen in twin.seen] == [[b"down"]] * 2


async def test_many_who_ask_at_once_share_one_question(edge: Edge, dns: DnsServer, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    dns.set("popular.dns.test", place.address)
    dns.misbehave(delay=0.3)
    statuses: list[int] = []

    async def one() -> None:
        statuses.append((await get(edge, "popular")).status)

    async with trio.open_nursery() as askers:
        for _ in range(20):
            askers.start_soon(one)
    assert statuses == [200] * 20
    assert (dns.count("popular.dns.test", "A"), dns.count("popular.dns.test", "AAAA")) == (1, 1)


async def test_all_addresses_of_a_name_are_used_and_dead_ones_passed_over(
    edge: Edge, dns: DnsServer, nursery: trio.Nursery
) -> None:
    places = [edge.site.take() for _ in range(8)]
    for place in places[:2]:
        await http_pod(nursery, place.address, place.port)
    dns.set("several.dns.test", *(place.address for place in places))
    bodies = set()
    for _ in range(30):
        reply = await get(edge, "several")
        assert reply.status == 200
        bodies.add(reply.body.decode())
    assert bodies == {place.address for place in places[:2]}


async def test_an_address_of_ipv6(edge: Edge, dns: DnsServer, nursery: trio.Nursery) -> None:
    listener = trio.socket.socket(trio.socket.AF_INET6)
    await listener.bind(("::1", edge.site.port))
    listener.listen()

    async def serve() -> None:
        with listener:
            sock, _ = await listener.accept()
            with sock:
                await sock.recv(65536)
                await sock.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv6")

    nursery.start_soon(serve)
    dns.set("six.dns.test", "::1")
    assert (await get(edge, "six")).body == b"v6"
    line = await edge.line("exchange", path="/named/six/")
    assert line["endpoint"] == f"[::1]:{edge.site.port}"


async def test_fixed_hosts_come_before_dns_and_never_ask(edge: Edge, dns: DnsServer, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    dns.set(f"{place.name}.pods.test", "127.0.0.77")
    assert (await ask(edge.address, "GET", f"/http/{place.name}/")).body == place.address.encode()
    assert dns.count() == 0


async def test_aliases_and_answers_too_large_for_udp(edge: Edge, dns: DnsServer, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    dns.set("real.dns.test", place.address)
    dns.alias("alias.dns.test", "real.dns.test")
    dns.misbehave(truncated=True)
    assert (await get(edge, "alias")).body == place.address.encode()
    assert dns.tcp_queries > 0


async def test_a_fallback_that_changed_is_asked_for_again(edge: Edge, dns: DnsServer, nursery: trio.Nursery) -> None:
    down, new = edge.site.take(), edge.site.take()
    await tunnel_pod(nursery, new.address, new.port)
    dns.set("gone.dns.test", down.address)
    dns.set("gone.others.test", down.address)
    statuses = []
    for _ in range(2):
        async with dial(edge.address) as wire:
            await wire.send(handshake("/call/gone/x"))
            statuses.append((await wire.reply()).status)
        dns.set("gone.others.test", new.address)
    assert statuses == [503, 101]
