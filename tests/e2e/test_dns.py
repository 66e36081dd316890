"""Names: records that change, pods that come back elsewhere, name servers that fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.dns_server import DnsServer
from tests.e2e.calls import handshake
from tests.e2e.edge import Edge, running
from tests.e2e.pods import http_pod, tunnel_pod
from tests.e2e.site import Site
from tests.e2e.wire import Message, ask, ask_until, dial

ROUTES = """
[upstreams.named]
address = "{pod}.dns.test:PORT"
allow = ["127.0.0.0/8", "::1/128"]
[upstreams.others]
address = "others.dns.test:PORT"
allow = ["127.0.0.0/8"]
[[routes]]
name = "call"
regex = '^/call/(?<pod>[^/]+)/x$'
upgrade = ["websocket"]
upstream = "named"
fallback = "others"
[[routes]]
name = "named"
regex = '^/named/(?<pod>[^/]+)/$'
upstream = "named"
[[routes]]
name = "backed"
regex = '^/backed/(?<pod>[^/]+)(?<rest>/.*)$'
upstream = "named"
fallback = "any"
"""


def dns_address(site: Site) -> tuple[str, int]:
    return f"{site.net}.250", site.port


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    host, port = dns_address(site)
    resolver = f'[resolver]\nnameservers = ["{host}:{port}"]\nmax_ttl = "500ms"\nipv6 = true\n'
    routes = ROUTES.replace("PORT", str(site.port))
    with running(site.toml(routes, deadlines='resolve = "800ms"\nconnect = "2s"', extra=resolver), site) as edge:
        yield edge


@pytest.fixture
async def dns(edge: Edge, nursery: trio.Nursery) -> DnsServer:
    return await DnsServer.start(nursery, *dns_address(edge.site))


async def get(edge: Edge, name: str, route: str = "named") -> Message:
    return await ask(edge.address, "GET", f"/{route}/{name}/")


async def served_by(edge: Edge, name: str, address: str) -> None:
    """Ask until this pod answers, as it must within the record's time."""
    await ask_until(edge.address, f"/named/{name}/", lambda reply: reply.body == address.encode())


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
    dns.set("others.dns.test", other.address)
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
    dns.set("others.dns.test", other.address)
    dns.set("down.dns.test", down.address)
    for _ in range(2):
        async with dial(edge.address) as wire:
            await wire.send(handshake("/call/down/x"))
            assert (await wire.reply()).status == 101
    assert [seen.values("X-Splicer-Fallback-From") for seen in twin.seen] == [[b"down"]] * 2


@pytest.mark.parametrize("failure", ["SERVFAIL", "REFUSED", "silence", "garbage", "nobody there"])
async def test_the_last_good_answer_serves_while_the_servers_fail(
    edge: Edge, dns: DnsServer, nursery: trio.Nursery, failure: str
) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    name = f"kept-{failure[:2].lower()}"
    dns.set(f"{name}.dns.test", place.address, ttl=1)
    assert (await get(edge, name)).status == 200
    if failure == "nobody there":
        dns.stop()
    elif failure == "garbage":
        dns.misbehave(garbage=b"\xff" * 30)
    else:
        dns.misbehave(silent=failure == "silence", rcode=failure)
    await trio.sleep(0.6)  # its time is over
    with trio.fail_after(8):
        for _ in range(3):
            assert (await get(edge, name)).body == place.address.encode()


async def test_a_silent_name_server_costs_the_deadline_and_no_more(edge: Edge, dns: DnsServer) -> None:
    dns.misbehave(silent=True)
    with trio.fail_after(8):
        reply = await get(edge, "silent")
    assert reply.status == 504
    line = await edge.line("exchange", path="/named/silent/")
    assert (line["reason"], line["closed_by"]) == ("resolve_deadline", "proxy")


async def test_a_silent_name_server_leads_to_the_fallback(edge: Edge, dns: DnsServer, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    dns.misbehave(silent=True)
    with trio.fail_after(8):
        assert (await get(edge, place.name, "backed")).body == place.address.encode()


async def test_a_name_that_does_not_exist_is_503(edge: Edge, dns: DnsServer) -> None:
    dns.set("empty.dns.test")
    for name in ("missing", "empty"):
        reply = await get(edge, name)
        assert (reply.status, len(reply.values("Retry-After"))) == (503, 1)
        assert (await edge.line("exchange", path=f"/named/{name}/"))["reason"] == "name_not_found"


async def test_no_such_name_is_remembered_but_not_for_long(edge: Edge, dns: DnsServer, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    for _ in range(5):
        assert (await get(edge, "late")).status == 503
    assert dns.count("late.dns.test", "A") == 1
    dns.set("late.dns.test", place.address)
    await served_by(edge, "late", place.address)


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


async def test_no_record_leads_out_of_the_allowed_networks(edge: Edge, dns: DnsServer) -> None:
    for number, address in enumerate(("10.0.0.1", "169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0")):
        dns.set(f"astray-{number}.dns.test", address)
        with trio.fail_after(5):
            assert (await get(edge, f"astray-{number}")).status == 502
        line = await edge.line("exchange", path=f"/named/astray-{number}/")
        assert line["reason"] == "address_not_allowed"
