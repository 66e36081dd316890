"""The gate before a tunnel, and handshakes that open none."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.http import Message, read_head
from tests.session.edge import APP, SPARE, Edge, Script, answering, fallback_route, route
from tests.session.message import GET, OK, SWITCHING, UPGRADE, answer, read_answer
from tests.session.wire import Peer

WEBSOCKET = route(upgrade=("websocket",))


def without(raw: bytes, name: bytes) -> bytes:
    return b"\r\n".join(line for line in raw.split(b"\r\n") if not line.startswith(name))


def noting(heads: list[Message], raw: bytes = OK) -> Script:
    async def script(pod: Peer) -> None:
        heads.append(await read_head(pod))
        await pod.send(raw)

    return script


@pytest.fixture
async def edge(edge: Edge) -> Edge:
    edge.use(WEBSOCKET)
    return edge


async def test_nothing_passes_the_gate_before_a_verified_101(edge: Edge) -> None:
    async def watching(pod: Peer) -> None:
        await read_head(pod)
        for _ in range(20):
            await trio.sleep(0.1)
            assert pod.at_hand() == b""
        await pod.send(SWITCHING[:30])
        await trio.sleep(1)
        assert pod.at_hand() == b""
        await pod.send(SWITCHING[30:] + b"first")
        assert await pod.exactly(14) == b"early and late"
        await pod.send(b" second")

    edge.pods[APP] = watching
    client = await edge.ask(UPGRADE + b"early")
    await trio.sleep(0.5)
    await client.send(b" and late")
    assert (await read_answer(client)).status == 101
    assert await client.exactly(12) == b"first second"
    [call] = edge.spliced
    assert call.to_pod == b"early"
    assert call.to_client.endswith(b"\r\n\r\nfirst")


async def test_the_101_is_the_pods(edge: Edge) -> None:
    heads: list[Message] = []
    raw = SWITCHING[:-2] + b"X-Call: 7\r\nSec-WebSocket-Protocol: twilio\r\n\r\n"
    edge.pods[APP] = noting(heads, raw)
    told = await read_answer(await edge.ask(UPGRADE))
    assert told.line == "HTTP/1.1 101 Switching Protocols"
    assert (told.get("Upgrade"), told.get("Connection")) == ("websocket", "Upgrade")
    assert (told.get("X-Call"), told.get("Sec-WebSocket-Protocol")) == ("7", "twilio")
    assert told.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert (heads[0].get("Connection"), heads[0].get("Upgrade")) == ("upgrade", "websocket")
    assert heads[0].get("Sec-WebSocket-Key") == "dGhlIHNhbXBsZSBub25jZQ=="
    assert heads[0].get("X-Forwarded-For") == "192.0.2.7"


@pytest.mark.parametrize("framing", [b"Content-Length: 0", b"Content-Length: 3", b"Transfer-Encoding: chunked"])
async def test_a_101_has_no_body_whatever_it_says(edge: Edge, framing: bytes) -> None:
    edge.pods[APP] = answering(SWITCHING[:-2] + framing + b"\r\n\r\n3\r\nabc\r\n")
    client = await edge.ask(UPGRADE)
    told = await read_answer(client)
    assert (told.status, told.get("Content-Length"), told.get("Transfer-Encoding")) == (101, None, None)
    assert await client.exactly(8) == b"3\r\nabc\r\n"


@pytest.mark.parametrize(
    "lie",
    [
        without(SWITCHING, b"Upgrade"),
        without(SWITCHING, b"Connection"),
        without(SWITCHING, b"Sec-WebSocket-Accept"),
        SWITCHING.replace(b"websocket", b"h2c"),
        SWITCHING.replace(b"s3pP", b"S3pP"),
        SWITCHING.replace(b"1.1", b"1.0"),
        SWITCHING[:-2] + b"Sec-WebSocket-Accept: again\r\n\r\n",
        SWITCHING[:-2] + b"X: \x00\r\n\r\n",
    ],
)
async def test_a_false_101_opens_nothing(edge: Edge, lie: bytes) -> None:
    edge.use(fallback_route(upgrade=("websocket",)))
    edge.pods |= {APP: answering(lie), SPARE: answering(SWITCHING)}
    client = await edge.ask(UPGRADE + b"secret")
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (502, "close")
    [pod] = edge.pod_peers
    assert pod.end._incoming.data == b""
    assert edge.dialled == [APP]
    assert (edge.spliced, edge.told.opened, edge.record.close_reason) == ([], [], "bad_answer")


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"not today", "403 Forbidden", "X-Why: closed"),
        answer(b"hello", "200 OK"),
        b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
    ],
)
async def test_an_answer_that_is_no_101_is_relayed_and_both_legs_end(edge: Edge, raw: bytes) -> None:
    async def closing(pod: Peer) -> None:
        await read_head(pod)
        await pod.send(raw)
        if b"302" in raw:
            pod.end.close()

    edge.pods[APP] = closing
    client = await edge.ask(UPGRADE + b"early" * 10)
    told = await read_answer(client)
    assert told.line.encode() == raw.partition(b"\r\n")[0]
    assert told.get("Connection") == "close"
    assert told.body == (raw.partition(b"\r\n\r\n")[2] if told.ended == "length" else told.body)
    await client.send(b"and more that nobody reads")
    assert await client.rest() == b""
    assert edge.streams[1].ended == "close"
    assert edge.pod_peers[0].end._incoming.data == b""
    assert (edge.record.closer, edge.record.close_reason) == ("pod", "complete")
    assert edge.record.to_client == len(told.body)
    assert edge.told.opened == []


async def test_early_bytes_that_nobody_read_do_not_cost_the_client_its_answer(edge: Edge) -> None:
    """Closed with bytes unread, a connection is reset, and an answer under way is lost."""

    async def late(pod: Peer) -> None:
        await read_head(pod)
        await trio.sleep(1)
        await pod.send(answer(b"not today", "403 Forbidden"))

    edge.pods[APP] = late
    client = await edge.ask(UPGRADE)
    await wait_all_tasks_blocked()
    await client.send(b"early")
    await trio.sleep(2)
    assert (await read_answer(client)).body == b"not today"
    assert await client.rest() == b""


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (UPGRADE.replace(b"13", b"12"), 426),
        (without(UPGRADE, b"Sec-WebSocket-Version"), 426),
        (UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="), 400),
        (without(UPGRADE, b"Sec-WebSocket-Key"), 400),
        (UPGRADE[:-2] + b"Content-Length: 1\r\n\r\nx", 400),
        (UPGRADE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
async def test_a_handshake_that_is_none(edge: Edge, raw: bytes, status: int) -> None:
    told = await read_answer(await edge.ask(raw))
    assert told.status == status
    if status == 426:
        assert told.get("Sec-WebSocket-Version") == "13"
        assert "Upgrade" in [value for name, value in told.fields if name == "Connection"]
    assert edge.dialled == []
    assert edge.record.close_reason == ("websocket_version" if status == 426 else "bad_request")


@pytest.mark.parametrize(
    ("allowed", "raw"),
    [
        ((), UPGRADE),
        (("tcp",), UPGRADE),
        (("websocket",), UPGRADE.replace(b"websocket", b"h2c")),
        (("websocket",), UPGRADE.replace(b"1.1", b"1.0")),
        (("websocket",), UPGRADE.replace(b"GET", b"HEAD")),
        (("websocket",), without(UPGRADE, b"Connection")),
        (("websocket",), without(UPGRADE, b"Upgrade")),
    ],
)
async def test_an_upgrade_that_is_not_allowed_is_plain_http(edge: Edge, allowed: tuple[str, ...], raw: bytes) -> None:
    edge.use(route(upgrade=allowed))
    heads: list[Message] = []
    edge.pods[APP] = noting(heads, b"HTTP/1.1 204 No\r\n\r\n")
    assert (await read_answer(await edge.ask(raw))).status == 204
    assert (heads[0].get("Upgrade"), heads[0].get("Connection")) == (None, None)


async def test_any_protocol_may_be_tunnelled(edge: Edge) -> None:
    edge.use(route(upgrade=("tcp",)))
    edge.pods[APP] = answering(b"HTTP/1.1 101 Go\r\nUpgrade: tcp\r\nConnection: upgrade\r\n\r\n")
    client = await edge.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TCP\r\n\r\n")
    assert (await read_answer(client)).status == 101
    assert edge.told.opened[0].protocol == "tcp"


@pytest.mark.parametrize("raw", [GET, GET.replace(b"GET", b"POST"), UPGRADE.replace(b"websocket", b"h2c")])
async def test_a_route_may_answer_upgrades_only(edge: Edge, raw: bytes) -> None:
    edge.use(route(upgrade=("websocket", "tcp"), upgrade_only=True))
    edge.pods[APP] = answering(SWITCHING)
    client = await edge.ask(raw)
    told = await read_answer(client)
    assert (told.status, told.get("Upgrade"), told.get("Connection")) == (426, "websocket, tcp", "Upgrade")
    await client.send(UPGRADE)
    assert (await read_answer(client)).status == 101
    assert edge.record.close_reason == "upgrade_required"


async def test_a_drain_leaves_tunnels_alone_and_opens_no_new_ones(edge: Edge) -> None:
    edge.pods[APP] = noting([], SWITCHING)
    client = await edge.ask(UPGRADE)
    await read_answer(client)
    edge.context.draining = True
    late = await read_answer(await edge.ask(UPGRADE))
    assert (late.status, late.get("Connection"), late.get("Retry-After") is not None) == (503, "close", True)
    await client.send(b"still here")
    assert await edge.pod_peers[0].exactly(10) == b"still here"
    assert edge.told.closed == []


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_in_the_handshake(edge: Edge, how: str) -> None:
    edge.use(fallback_route(upgrade=("websocket",)))

    async def silent(pod: Peer) -> None:
        await trio.sleep_forever()

    edge.pods[APP] = silent
    client = await edge.ask(UPGRADE)
    await trio.sleep(1)
    getattr(client.end, how)()
    await edge.idle()
    assert trio.current_time() < 3
    assert (edge.record.closer, edge.record.close_reason, edge.record.status) == ("client", "client_gone", 499)
    assert edge.streams[1].ended == "close"
    assert edge.dialled == [APP]


async def test_a_failed_handshake_ends_the_connection(edge: Edge) -> None:
    """Whoever asked for another protocol may speak it already."""
    edge.pods[APP] = answering(b"garbage\r\n\r\n")
    client = await edge.ask(UPGRADE + b"\x81\x85frame")
    assert (await read_answer(client)).get("Connection") == "close"
    assert await client.rest() == b""
    assert len(edge.told.ended) == 1
