"""The handshake gate: which requests are upgrades, and which answers open a tunnel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.calls import KEY, handshake
from tests.kit.edge import Edge, running
from tests.kit.http import Message
from tests.kit.pods import echo, http_pod, ok, raw_pod, switching, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, dial, request

ROUTES = """
[[routes]]
name = "custom"
regex = '^/custom/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["audio/2", "websocket"]
upgrade_only = true
upstream = "pod"
rewrite = "{rest}"
"""
UPGRADE = ("Connection: keep-alive, Upgrade", "Upgrade: WebSocket")
RIGHT = (*UPGRADE, "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(ROUTES), site) as edge:
        yield edge


@pytest.mark.parametrize(
    "fields",
    [
        (*UPGRADE, "Sec-WebSocket-Version: 8", f"Sec-WebSocket-Key: {KEY}"),
        (*UPGRADE, "Sec-WebSocket-Version: 14"),
        (*UPGRADE, f"Sec-WebSocket-Key: {KEY}"),
    ],
)
async def test_another_version_is_426(edge: Edge, nursery: trio.Nursery, fields: tuple[str, ...]) -> None:
    place = edge.site.take()
    pod = await tunnel_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/ws/{place.name}/x", *fields))
        reply = await wire.reply()
    assert (reply.status, reply.values("Sec-WebSocket-Version")) == (426, [b"13"])
    assert pod.connections == 0


@pytest.mark.parametrize(
    "fields",
    [
        (*UPGRADE, "Sec-WebSocket-Version: 13"),
        (*UPGRADE, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key:"),
        (*UPGRADE, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: c2hvcnQ="),
        (*RIGHT, f"Sec-WebSocket-Key: {KEY}"),
        (*RIGHT, "Content-Length: 4"),
        (*RIGHT, "Transfer-Encoding: chunked"),
    ],
)
async def test_a_bad_key_or_a_body_is_400(edge: Edge, nursery: trio.Nursery, fields: tuple[str, ...]) -> None:
    place = edge.site.take()
    pod = await tunnel_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/ws/{place.name}/x", *fields))
        assert (await wire.reply()).status == 400
    assert pod.connections == 0


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GET", ()),
        ("GET", ("Connection: Upgrade", "Upgrade: h2c")),
        ("GET", ("Upgrade: websocket", "Sec-WebSocket-Version: 13")),
        ("POST", RIGHT),
    ],
)
async def test_what_is_no_upgrade_is_plain_http(
    edge: Edge, nursery: trio.Nursery, method: str, fields: tuple[str, ...]
) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request(method, f"/ws/{place.name}/x", *fields))
        assert (await wire.reply()).status == 200
    assert pod.seen[0].values("Upgrade") == []
    assert pod.seen[0].values("Connection") == ([] if method == "GET" else [b"close"])


async def test_a_handshake_in_http_1_0_is_plain_http(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/{place.name}/x").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await wire.reply()).status == 200
    assert pod.seen[0].values("Upgrade") == []


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"404 Not Found", b"500 Internal Server Error", b"200 OK"])
async def test_an_answer_that_is_no_101_is_relayed_with_its_body(
    edge: Edge, nursery: trio.Nursery, status: bytes
) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port, ok(b"because", b"X-Why: token", status=status))
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/{place.name}/x"))
        reply = await wire.reply()
        assert reply.line == f"HTTP/1.1 {status.decode()}"
        assert (reply.body, reply.values("X-Why")) == (b"because", [b"token"])
        assert await wire.rest() == b""
    assert pod.connections == 1
    line = await edge.line("exchange", path=f"/ws/{place.name}/x")
    assert (line["status"], [a["failure"] for a in line["attempts"]]) == (reply.status, [None])


def _forged(what: str, head: bytes) -> bytes:
    right = switching(head)
    return {
        "another's accept": right.replace(b"Accept: ", b"Accept: x"),
        "no accept": right.replace(b"Sec-WebSocket-Accept", b"X"),
        "two accepts": right.replace(b"Connection", b"Sec-WebSocket-Accept: x\r\nConnection"),
        "no upgrade": right.replace(b"Upgrade: websocket\r\n", b""),
        "another upgrade": right.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        "no connection": right.replace(b"Connection: Upgrade\r\n", b""),
    }[what]


@pytest.mark.parametrize(
    "what", ["another's accept", "no accept", "two accepts", "no upgrade", "another upgrade", "no connection"]
)
async def test_a_false_101_is_a_bad_answer(edge: Edge, nursery: trio.Nursery, what: str) -> None:
    place = edge.site.take()

    async def forge(wire: Wire) -> None:
        await wire.send(_forged(what, await wire.head()) + b"never to be seen")
        await wire.end()

    await raw_pod(nursery, place.address, place.port, forge)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/{place.name}/x") + b"nor this")
        reply = await wire.reply()
    assert reply.status == 502
    assert b"never" not in reply.body
    line = await edge.line("exchange", path=f"/ws/{place.name}/x")
    assert (line["status"], line["reason"]) == (502, "bad_answer")


async def test_a_101_that_nobody_asked_for_is_a_bad_answer(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def forge(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        await wire.end()

    await raw_pod(nursery, place.address, place.port, forge)
    for route in ("ws", "http"):
        async with dial(edge.address) as wire:
            await wire.send(request("GET", f"/{route}/{place.name}/x"))
            assert (await wire.reply()).status == 502


async def test_fields_of_the_101_reach_the_client(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def agree(wire: Wire) -> None:
        own = (b"Sec-WebSocket-Extensions: permessage-deflate", b"x-POD: 1", b"Set-Cookie: a", b"Set-Cookie: b")
        await wire.send(switching(await wire.head(), *own))
        await echo(wire)

    await raw_pod(nursery, place.address, place.port, agree)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/{place.name}/x", "Sec-WebSocket-Extensions: permessage-deflate"))
        head = Message(await wire.head())
    assert head.values("Sec-WebSocket-Extensions") == [b"permessage-deflate"]
    assert ("x-POD", "1") in head.fields
    assert head.values("Set-Cookie") == [b"a", b"b"]
    assert head.values("Upgrade")[0].lower() == b"websocket"
    assert head.values("Connection")[0].lower() == b"upgrade"


async def test_any_protocol_that_the_route_names_is_tunnelled(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    seen: list[Message] = []

    async def agree(wire: Wire) -> None:
        seen.append(Message(await wire.head()))
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: Audio/2\r\n\r\nhello ")
        await echo(wire)

    await raw_pod(nursery, place.address, place.port, agree)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/custom/{place.name}/x", "Connection: Upgrade", "Upgrade: audio/2") + b"world")
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        assert await wire.exactly(11) == b"hello world"
    assert [value.lower() for value in seen[0].values("Upgrade")] == [b"audio/2"]


async def test_an_upgrade_may_follow_other_requests_on_its_connection(edge: Edge, nursery: trio.Nursery) -> None:
    place, other = edge.site.take(), edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    await http_pod(nursery, other.address, other.port, ok(b"first"))
    async with dial(edge.address) as wire:
        await wire.send(request("GET", "/health"))
        assert (await wire.reply()).status == 200
        await wire.send(
            request("POST", f"/http/{other.name}/", body=b"x") + handshake(f"/ws/{place.name}/x") + b"early"
        )
        assert (await wire.reply()).body == b"first"
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        assert await wire.exactly(5) == b"early"


async def test_hints_may_come_before_the_101(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def hint(wire: Wire) -> None:
        head = await wire.head()
        await wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + switching(head))
        await echo(wire)

    await raw_pod(nursery, place.address, place.port, hint)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws/{place.name}/x") + b"early")
        head = await wire.head()
        if b" 103 " in head:
            head = await wire.head()
        assert head.startswith(b"HTTP/1.1 101 ")
        assert await wire.exactly(5) == b"early"


async def test_a_route_for_upgrades_alone_asks_for_one(edge: Edge) -> None:
    place = edge.site.take()
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/custom/{place.name}/x"))
        reply = await wire.reply()
    assert reply.status == 426
    assert b"websocket" in b",".join(reply.values("Upgrade"))
