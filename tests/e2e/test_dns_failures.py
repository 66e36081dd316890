"""Name servers that fail, and names that do not exist."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.e2e.dnsedge import dns_edge, get, served_by, start_dns
from tests.kit.calls import handshake
from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.wire import dial


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with dns_edge() as edge:
        yield edge


@pytest.fixture
async def dns(edge: Edge, nursery: trio.Nursery) -> DnsServer:
    return await start_dns(edge, nursery)


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


async def test_one_servfail_leads_no_call_away_from_its_pod(edge: Edge, dns: DnsServer, nursery: trio.Nursery) -> None:
    own, other = edge.site.take(), edge.site.take()
    pods = [await tunnel_pod(nursery, place.address, place.port) for place in (own, other)]
    dns.set("flaky.dns.test", own.address)
    dns.set("flaky.others.test", other.address)
    for kind in ("A", "AAAA"):
        dns.misbehave("flaky.dns.test", kind, rcode="SERVFAIL", times=1)
    async with dial(edge.address) as wire:
        await wire.send(handshake("/call/flaky/x"))
        assert (await wire.reply()).status == 101
    assert [len(pod.seen) for pod in pods] == [1, 0]


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


async def test_no_record_leads_out_of_the_allowed_networks(edge: Edge, dns: DnsServer) -> None:
    for number, address in enumerate(("10.0.0.1", "169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0")):
        dns.set(f"astray-{number}.dns.test", address)
        with trio.fail_after(5):
            assert (await get(edge, f"astray-{number}")).status == 502
        line = await edge.line("exchange", path=f"/named/astray-{number}/")
        assert line["reason"] == "address_not_allowed"
