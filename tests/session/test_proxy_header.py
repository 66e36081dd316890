"""PROXY headers for pods: what comes first on each connection, and whose it is."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network
from types import SimpleNamespace
from typing import cast

import pytest
import trio

from splicer.arrival import Arrival
from splicer.http1.forwarded import Forwarding
from splicer.net.stream import ByteStream, TcpStream
from splicer.proxyproto.decode import decode
from splicer.proxyproto.facts import arrival as header_facts
from splicer.session.client import ClientLeg
from splicer.session.proxy_header import proxy_header
from splicer.tls_facts import ClientCertificate, TlsFacts
from tests.kit.http import read_head, read_request
from tests.session.edge import APP, CLIENT, SPARE, Edge, Script, answering, route, upstream
from tests.session.message import GET, OK, SWITCHING, UPGRADE, answer, read_answer
from tests.session.wire import Peer

_CAME = Arrival("10.0.0.9", 4711, local=("10.0.0.1", 443))
_LINE = f"PROXY TCP4 {CLIENT} 10.0.0.1 4711 443\r\n".encode()


def _origin(client: str, *, believed: bool = False) -> Forwarding:
    return Forwarding(client, client, "http", "a", "an-id", believed=believed)


@pytest.fixture
async def client() -> AsyncIterator[ClientLeg]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        sock, _ = listener.accept()
        with sock:
            yield ClientLeg(TcpStream(sock), "127.0.0.1")


async def test_a_client_of_its_own_is_named_as_its_socket_says(client: ClientLeg) -> None:
    (here, port), (there, its) = client.stream.sock.getsockname(), client.stream.sock.getpeername()
    assert proxy_header("v1", client, _origin("127.0.0.1")) == f"PROXY TCP4 {there} {here} {its} {port}\r\n".encode()
    found = decode(proxy_header("v2", client, _origin("127.0.0.1")))
    assert found is not None
    assert (found[0].source, found[0].destination) == ((there, its), (here, port))
    assert found[0].tlvs == ((0x05, b"an-id"),)


async def test_a_client_that_a_trusted_proxy_names_has_no_port(client: ClientLeg) -> None:
    here, port = client.stream.sock.getsockname()
    line = f"PROXY TCP4 192.0.2.9 {here} 0 {port}\r\n".encode()
    assert proxy_header("v1", client, _origin("192.0.2.9", believed=True)) == line


async def test_a_client_that_a_header_named_has_that_port(client: ClientLeg) -> None:
    client.peer, client.arrival = "192.0.2.9", Arrival("127.0.0.1", 4711)
    here, port = client.stream.sock.getsockname()
    line = f"PROXY TCP4 192.0.2.9 {here} 4711 {port}\r\n".encode()
    assert proxy_header("v1", client, _origin("192.0.2.9")) == line


async def test_a_socket_that_can_not_tell_is_told_of() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = ClientLeg(TcpStream(ours), CLIENT, arrival=_CAME)
        assert proxy_header("v1", client, _origin(CLIENT)) == _LINE
        client.arrival = None
        assert proxy_header("v1", client, _origin(CLIENT)) == b"PROXY UNKNOWN\r\n"


@pytest.mark.parametrize("arrival", [None, Arrival("10.0.0.9", 4712, facts=(("proxy_id", "theirs"),))])
async def test_a_client_over_tls_is_named_with_what_is_known_of_it(arrival: Arrival | None) -> None:
    peer, local = ClientCertificate("", "CN=a"), ("10.0.0.1", 443)
    facts = TlsFacts("TLSv1.3", "a cipher", "a.example", peer=peer, port=4711, local=local)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = cast("ByteStream", SimpleNamespace(sock=ours, tls=SimpleNamespace(facts=facts)))
        found = decode(proxy_header("v2", ClientLeg(stream, CLIENT, arrival=arrival), _origin(CLIENT)))
    assert found is not None
    port = 4711 if arrival is None else 4712
    assert (found[0].source, found[0].destination) == ((CLIENT, port), ("10.0.0.1", 443))
    told = header_facts(found[0], "10.0.0.9")
    assert told is not None
    assert told.secure
    assert dict(told.facts) == {
        "proxy_id": "an-id",
        "tls_version": "TLSv1.3",
        "tls_cipher": "a cipher",
        "tls_sni": "a.example",
        "tls_client": "CN=a",
    }


# ---- on the way to a pod ----


def _introduced(script: Script, seen: list[bytes]) -> Script:
    """A pod that takes a line first."""

    async def play(pod: Peer) -> None:
        seen.append(await pod.until(b"\r\n"))
        await script(pod)

    return play


async def _ask(edge: Edge, raw: bytes) -> Peer:
    client = edge.connect(arrival=_CAME)
    await client.send(raw)
    return client


async def test_each_request_has_a_connection_of_its_own_which_the_pod_closes(edge: Edge) -> None:
    edge.use(route(upstream=upstream("app", proxy_protocol="v1")))
    seen, heads = list[bytes](), []

    async def once(pod: Peer) -> None:
        heads.append(await read_head(pod))
        await pod.send(OK)
        pod.end.close()

    edge.pods[APP] = _introduced(once, seen)
    client = edge.connect(arrival=_CAME)
    for _ in range(2):
        await client.send(GET)
        assert (await read_answer(client)).body == b"ok"
    assert edge.dialled == [APP] * 2
    assert seen == [_LINE] * 2
    assert [head.get("Connection") for head in heads] == ["close"] * 2
    assert len(edge.context.pool) == 0


async def test_another_upstreams_idle_connection_is_not_taken(edge: Edge) -> None:
    edge.use(route("prefix", "/"), route("prefix", "/x", upstream=upstream("app", proxy_protocol="v1")))
    edge.pods[APP] = answering(OK)
    assert (await read_answer(await _ask(edge, GET))).body == b"ok"
    assert len(edge.context.pool) == 1
    seen = list[bytes]()
    edge.use(route(upstream=upstream("app", proxy_protocol="v1")))
    edge.pods[APP] = _introduced(answering(OK), seen)
    assert (await read_answer(await _ask(edge, GET))).body == b"ok"
    assert (edge.dialled, seen) == ([APP] * 2, [_LINE])


async def test_a_call_begins_with_it_and_nothing_of_the_clients_is_sent_before_the_101(edge: Edge) -> None:
    edge.use(route(upstream=upstream("app", proxy_protocol="v1"), upgrade=("websocket",)))
    seen, early = list[bytes](), list[bytes]()

    async def pod(pod: Peer) -> None:
        await read_request(pod)
        await trio.sleep(1)
        early.append(bytes(pod.read) + (pod.end.receive_now(100) or b""))
        await pod.send(SWITCHING)

    edge.pods[APP] = _introduced(pod, seen)
    client = await _ask(edge, UPGRADE + b"early frames")
    assert (await read_answer(client)).status == 101
    await trio.sleep(1)
    assert (seen, early) == ([_LINE], [b""])
    [spec] = edge.spliced
    assert spec.to_pod == b"early frames"


async def test_a_fallback_gets_its_own_version(edge: Edge) -> None:
    edge.use(
        route(
            upstream=upstream("app", proxy_protocol="v1"),
            fallback=upstream("spare", proxy_protocol="v2"),
            fallback_on=frozenset({503}),
        )
    )
    seen, first = list[bytes](), list[bytes]()

    async def binary(pod: Peer) -> None:
        head = await pod.exactly(16)
        first.append(head + await pod.exactly(int.from_bytes(head[14:], "big")))
        await read_request(pod)
        await pod.send(OK)

    edge.pods[APP] = _introduced(answering(answer(b"", "503 No")), seen)
    edge.pods[SPARE] = binary
    assert (await read_answer(await _ask(edge, GET))).body == b"ok"
    assert seen == [_LINE]
    found = decode(first[0])
    assert found is not None
    assert (found[0].source, found[0].destination) == ((CLIENT, 4711), ("10.0.0.1", 443))
    [record] = edge.told.ended
    assert found[0].tlvs == ((0x05, record.id.encode()),)


async def test_a_trusted_proxys_client_is_the_source(edge: Edge) -> None:
    edge.use(route(upstream=upstream("app", proxy_protocol="v1")), trusted=(ip_network(f"{CLIENT}/32"),))
    seen = list[bytes]()
    edge.pods[APP] = _introduced(answering(OK), seen)
    await read_answer(await _ask(edge, GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 198.51.100.3\r\n\r\n")))
    assert seen == [b"PROXY TCP4 198.51.100.3 10.0.0.1 0 443\r\n"]


async def test_how_a_client_came_is_in_its_record_and_its_scheme(edge: Edge) -> None:
    heads = []

    async def pod(pod: Peer) -> None:
        heads.append(await read_head(pod))
        await pod.send(OK)

    edge.pods[APP] = pod
    came = Arrival("10.0.0.9", 4711, True, (("tls_version", "TLSv1.3"),))
    client = edge.connect(arrival=came)
    await client.send(GET)
    await read_answer(client)
    assert edge.record.arrival == came
    assert (heads[0].get("X-Forwarded-Proto"), heads[0].get("X-Forwarded-For")) == ("https", CLIENT)
