"""Questions to real name servers on loopback."""

from __future__ import annotations

from pathlib import Path

import dns.message
import dns.rrset
import pytest
import trio
import trio.testing

from splicer.errors import ResolveFailed
from splicer.net import dns_query
from splicer.net.dns_names import RdataType
from splicer.net.dns_query import NameServers, Records, system_nameservers
from tests.kit.dns_server import DnsServer

POD = "pod-0.example"
LIFETIME_SECONDS = 8.0  # seconds: an answer comes long before
SHORT = 1.0  # where silence must be waited for


@pytest.fixture
async def server(nursery: trio.Nursery) -> DnsServer:
    return await DnsServer.start(nursery)


@pytest.fixture
async def second(nursery: trio.Nursery) -> DnsServer:
    return await DnsServer.start(nursery, "127.0.0.2")


def servers(*them: DnsServer, lifetime: float = LIFETIME_SECONDS) -> NameServers:
    return NameServers([(server.host, server.port) for server in them], lifetime)


@pytest.mark.parametrize("name", [POD, POD + ".", "POD-0.Example"])
async def test_addresses_come_in_the_order_served(server: DnsServer, name: str) -> None:
    server.set(POD, "127.0.0.12", "127.0.0.10", "::1", "127.0.0.11", ttl=7)
    asked = servers(server)
    assert await asked.ask(name, RdataType.A) == Records(("127.0.0.12", "127.0.0.10", "127.0.0.11"), 7.0)
    assert await asked.ask(name, RdataType.AAAA) == Records(("::1",), 7.0)


async def test_an_alias_is_followed_and_the_least_ttl_counts(server: DnsServer) -> None:
    server.alias("any.example", "middle.example", ttl=60)
    server.alias("middle.example", POD, ttl=3)
    server.set(POD, "127.0.0.10", ttl=30)
    assert await servers(server).ask("any.example", RdataType.A) == Records(("127.0.0.10",), 3.0)


async def test_no_such_name_and_no_such_record_are_told_apart(server: DnsServer) -> None:
    server.negative_ttl = 4
    server.set(POD, "127.0.0.10")
    assert await servers(server).ask("pod-9.example", RdataType.A) == Records((), 4.0, exists=False)
    assert await servers(server).ask(POD, RdataType.AAAA) == Records((), 4.0)


@pytest.mark.parametrize("name", ["x" * 64 + ".example", ".".join(["x" * 50] * 6), "a..example"])
async def test_what_can_be_no_name_is_not_asked(server: DnsServer, name: str) -> None:
    assert await servers(server).ask(name, RdataType.A) == Records((), 0.0, exists=False)
    assert server.count() == 0


async def test_an_alias_that_comes_alone_is_asked_on(server: DnsServer) -> None:
    server.alias("any.example", "middle.example", ttl=60)
    server.alias("middle.example", POD, ttl=3)
    server.set(POD, "127.0.0.10", ttl=30)
    server.misbehave(alias_alone=True)
    assert await servers(server).ask("any.example", RdataType.A) == Records(("127.0.0.10",), 3.0)
    assert [server.count(name, "A") for name in ("any.example", "middle.example", POD)] == [1, 1, 1]


async def test_an_alias_of_a_name_that_is_gone(server: DnsServer) -> None:
    server.negative_ttl = 4
    server.alias("any.example", POD, ttl=60)
    server.misbehave("any.example", alias_alone=True)
    assert await servers(server).ask("any.example", RdataType.A) == Records((), 4.0, exists=False)


@pytest.mark.parametrize("target", ["any.example", "other.example"])
async def test_aliases_that_lead_in_a_circle_end(server: DnsServer, target: str) -> None:
    server.alias("any.example", target)
    server.alias("other.example", "any.example")
    server.misbehave(alias_alone=True)
    with pytest.raises(ResolveFailed, match=r"any\.example A: .*(aliases|CNAME chain)"):
        await servers(server).ask("any.example", RdataType.A)
    assert server.count() <= 10


async def test_a_truncated_answer_is_asked_for_over_tcp(server: DnsServer) -> None:
    server.set(POD, "127.0.0.10")
    server.misbehave(truncated=True)
    assert (await servers(server).ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    assert server.tcp_queries == 1


async def test_a_headless_service_of_many_pods(server: DnsServer) -> None:
    pods = tuple(f"10.0.{number // 250}.{number % 250 + 1}" for number in range(500))
    server.set("any.example", *pods)
    assert (await servers(server).ask("any.example", RdataType.A)).addresses == pods
    assert server.tcp_queries == 1
    server.set("few.example", *pods[:60])
    assert (await servers(server).ask("few.example", RdataType.A)).addresses == pods[:60]
    assert server.tcp_queries == 1  # they fit into a datagram


async def test_a_silent_first_server_leaves_time_for_the_second_which_is_then_asked_first(
    server: DnsServer, second: DnsServer
) -> None:
    server.misbehave(silent=True)
    second.set(POD, "127.0.0.10")
    asked = servers(server, second, lifetime=SHORT)
    assert (await asked.ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    assert (await asked.ask("pod-9.example", RdataType.A)).exists is False
    assert (server.count(), second.count()) == (1, 2)


async def test_the_order_is_the_files_again_after_a_while(
    server: DnsServer, second: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_query, "_DEMOTION_SECONDS", 0.0)
    server.set(POD, "127.0.0.10")
    server.misbehave(silent=True, times=1)
    asked = servers(server, second, lifetime=SHORT)
    assert (await asked.ask(POD, RdataType.A)).exists is False
    assert (await asked.ask(POD, RdataType.A)).addresses == ("127.0.0.10",)


async def test_a_server_that_is_gone(server: DnsServer, second: DnsServer) -> None:
    second.set(POD, "127.0.0.10")
    asked = servers(server, second, lifetime=SHORT)
    server.stop()
    await trio.testing.wait_all_tasks_blocked()
    assert (await asked.ask(POD, RdataType.A)).addresses == ("127.0.0.10",)


async def test_a_lost_packet_is_sent_again(server: DnsServer) -> None:
    server.set(POD, "127.0.0.10")
    server.misbehave(silent=True, times=1)
    assert (await servers(server, lifetime=SHORT).ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    assert server.count() == 2


@pytest.mark.parametrize("tcp", ["closed", "silent"])
async def test_without_tcp_a_truncated_answer_is_taken_for_what_it_has(server: DnsServer, tcp: str) -> None:
    server.set(POD, "127.0.0.10", "127.0.0.11", "127.0.0.12", ttl=7)
    server.misbehave(truncated=True, kept=2, tcp=tcp)
    asked = servers(server, lifetime=SHORT)
    assert await asked.ask(POD, RdataType.A) == Records(("127.0.0.10", "127.0.0.11"), 7.0)
    assert server.tcp_queries == 1


async def test_without_tcp_a_truncated_answer_without_addresses_is_none(server: DnsServer, second: DnsServer) -> None:
    server.set(POD, "127.0.0.10")
    second.set(POD, "127.0.0.11")
    server.misbehave(truncated=True, tcp="closed")
    assert (await servers(server, second).ask(POD, RdataType.A)).addresses == ("127.0.0.11",)
    with pytest.raises(ResolveFailed):
        await servers(server).ask(POD, RdataType.A)


@pytest.mark.parametrize("rcode", ["FORMERR", "NOTIMP"])
async def test_a_server_that_knows_no_edns_is_asked_without(server: DnsServer, rcode: str) -> None:
    server.set(POD, "127.0.0.10")
    server.misbehave(no_edns=rcode)
    assert (await servers(server).ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    assert server.count() == 2


async def test_a_server_that_is_silent_to_edns_is_asked_without(server: DnsServer) -> None:
    server.set(POD, "127.0.0.10")
    server.misbehave(no_edns="silence")
    assert (await servers(server, lifetime=SHORT).ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    assert server.count() == 2


async def test_a_server_that_fails_once_is_asked_once_more(server: DnsServer) -> None:
    server.set(POD, "127.0.0.10")
    server.misbehave(rcode="SERVFAIL", times=1)
    assert (await servers(server, lifetime=SHORT).ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    assert server.count() == 2


async def test_a_server_that_fails_is_asked_again_only_after_the_others(server: DnsServer, second: DnsServer) -> None:
    server.misbehave(rcode="SERVFAIL")
    second.set(POD, "127.0.0.10")
    assert (await servers(server, second).ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    assert server.count() == 1
    with pytest.raises(ResolveFailed, match=rf"pod-0.example A: 127.0.0.1:{server.port}: SERVFAIL$"):
        await servers(server).ask(POD, RdataType.A)
    assert server.count() == 3


async def test_a_server_that_only_refers_to_others_is_no_answer(server: DnsServer, second: DnsServer) -> None:
    server.misbehave(referral=True)
    second.set(POD, "127.0.0.10")
    assert (await servers(server, second).ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    with pytest.raises(ResolveFailed, match="refers to other name servers"):
        await servers(server).ask(POD, RdataType.A)


@pytest.mark.parametrize("rcode", ["REFUSED", "NOTIMP", "FORMERR"])
async def test_a_server_that_declines_is_not_asked_again(server: DnsServer, second: DnsServer, rcode: str) -> None:
    server.misbehave(rcode=rcode)
    second.set(POD, "127.0.0.10")
    assert (await servers(server, second).ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    asked = server.count()
    with pytest.raises(ResolveFailed, match=rf"pod-0.example A: 127.0.0.1:{server.port}: {rcode}$"):
        await servers(server).ask(POD, RdataType.A)
    assert server.count() == 2 * asked
    assert asked == (1 if rcode == "REFUSED" else 2)  # with EDNS, and without


async def test_when_all_fail_the_message_has_each_ones_fault(server: DnsServer, second: DnsServer) -> None:
    server.misbehave(silent=True)
    second.misbehave(rcode="SERVFAIL")
    with pytest.raises(ResolveFailed) as failure:
        await servers(server, second, lifetime=SHORT).ask(POD, RdataType.A)
    silent, failing = f"127.0.0.1:{server.port}", f"127.0.0.2:{second.port}"
    assert type(failure.value) is ResolveFailed
    assert str(failure.value) == f"pod-0.example A: {silent} is silent, {failing}: SERVFAIL"
    assert (server.count(), second.count()) == (2, 2)


@pytest.mark.parametrize("garbage", [b"", b"\x00", b"\x81\x80" + b"\xff" * 40])
async def test_garbage_is_no_answer(server: DnsServer, garbage: bytes) -> None:
    server.misbehave(garbage=garbage)
    with pytest.raises(ResolveFailed):
        await servers(server, lifetime=SHORT).ask(POD, RdataType.A)


async def test_garbage_over_tcp_is_no_answer(server: DnsServer, second: DnsServer) -> None:
    server.misbehave(truncated=True, garbage=b"\x81\x80" + b"\xff" * 40)
    second.set(POD, "127.0.0.10")
    assert (await servers(server, second).ask(POD, RdataType.A)).addresses == ("127.0.0.10",)
    assert server.tcp_queries == 1


async def test_a_stray_datagram_before_the_answer_is_ignored(nursery: trio.Nursery) -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as udp:
        await udp.bind(("127.0.0.1", 0))
        nursery.start_soon(_answer_after_strays, udp)
        asked = NameServers([udp.getsockname()], LIFETIME_SECONDS)
        assert await asked.ask(POD, RdataType.A) == Records(("127.0.0.10",), 30.0)


async def _answer_after_strays(udp: trio.socket.SocketType) -> None:
    wire, client = await udp.recvfrom(65535)
    query = dns.message.from_wire(wire)
    other = dns.message.make_response(dns.message.make_query("other.example", "A", id=query.id))
    other.answer.append(dns.rrset.from_text("other.example.", 30, "IN", "A", "127.0.0.66"))
    answer = dns.message.make_response(query)
    answer.answer.append(dns.rrset.from_text(f"{POD}.", 30, "IN", "A", "127.0.0.10"))
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as stranger:
        await stranger.sendto(answer.to_wire(), client)
    for datagram in (b"stray", other.to_wire(), answer.to_wire()):
        await udp.sendto(datagram, client)


async def test_descriptors_are_not_spent_on_names(
    server: DnsServer, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_query, "_SOCKETS", 3)
    server.misbehave(silent=True)
    asked = servers(server)
    for number in range(10):
        nursery.start_soon(asked.ask, f"pod-{number}.example", RdataType.A)
    while server.count() < 3:
        await trio.lowlevel.checkpoint()
    await trio.sleep(0.05)  # in which the others would have come
    assert server.count() == 3
    nursery.cancel_scope.cancel()


async def test_without_name_servers_the_message_says_what_to_do() -> None:
    with pytest.raises(ResolveFailed, match=r"nameservers is empty and /etc/resolv.conf names none"):
        await servers().ask(POD, RdataType.A)


async def test_an_address_family_that_is_not_there_fails_that_server_only(second: DnsServer) -> None:
    second.set(POD, "127.0.0.10")
    asked = NameServers([("no address", 53), (second.host, second.port)], LIFETIME_SECONDS)
    assert (await asked.ask(POD, RdataType.A)).addresses == ("127.0.0.10",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 10.96.0.10\nsearch svc.cluster.local\noptions ndots:5\n", (("10.96.0.10", 53),)),
        ("nameserver 10.0.0.1\nnameserver fd00::1\n", (("10.0.0.1", 53), ("fd00::1", 53))),
        ("nameserver https://dns.example/query\nnameserver 10.0.0.1\n", (("10.0.0.1", 53),)),
        ("search example\n", ()),
        ("nameserver nonsense\n", ()),
        ("nameserver \xff\n", ()),
        (None, ()),
    ],
)
def test_the_systems_name_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, expected: tuple[tuple[str, int], ...]
) -> None:
    path = tmp_path / "resolv.conf"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    monkeypatch.setattr(dns_query, "RESOLV_CONF", str(path))
    assert system_nameservers() == expected
