"""Which bytes are whose: pipelining, bodies that are none, old clients, connections that end or go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.http import Message
from tests.kit.pods import http_pod, ok, raw_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, ask, dial, request


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    extra = '[limits]\nbody_bytes = "100KiB"\n'
    with running(site.toml(extra=extra), site) as edge:
        yield edge


async def test_pipelined_requests_are_answered_in_order(edge: Edge, nursery: trio.Nursery) -> None:
    slow, fast = edge.site.take(), edge.site.take()
    asked: list[bytes] = []

    async def answer_late(wire: Wire) -> None:
        while True:
            asked.append((await wire.request()).target)
            await trio.sleep(0.1)
            await wire.send(ok(b"slow"))

    await raw_pod(nursery, slow.address, slow.port, answer_late)
    await http_pod(nursery, fast.address, fast.port, lambda seen: ok(b"fast " + seen.body))
    async with dial(edge.address) as wire:
        await wire.send(
            request("GET", f"/http/{slow.name}/1")
            + request("POST", f"/http/{fast.name}/2", body=b"two")
            + request("GET", "/health")
            + request("POST", f"/http/{fast.name}/3", "Transfer-Encoding: chunked")
            + b"4\r\n3\r\n\n\r\n0\r\n\r\n"
            + request("HEAD", f"/http/{slow.name}/4")
            + request("GET", f"/http/{fast.name}/5")
        )
        bodies = [(await wire.reply(method)).body for method in ("GET", "POST", "GET", "POST", "HEAD", "GET")]
    assert bodies == [b"slow", b"fast two", b"healthy\n", b"fast 3\r\n\n", b"", b"fast "]
    assert asked == [b"/1", b"/4"]


async def test_a_request_body_does_not_cost_the_client_its_connection(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        for n in range(300):
            await wire.send(request("POST", f"/http/{place.name}/", "Content-Length: 100"))
            await wire.send(b"x" * 100)
            reply = await wire.reply()
            assert reply.values("Connection") == [], f"after {n} requests"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 404 Not Found\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: x\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_answers_without_a_body(edge: Edge, nursery: trio.Nursery, method: str, answer: bytes) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port, answer)
    async with dial(edge.address) as wire:
        for _ in range(2):  # the second would find bytes of the first one's body
            await wire.send(request(method, f"/http/{place.name}/"))
            reply = await wire.reply(method)
            assert reply.status == Message(answer).status
            if method == "HEAD" or reply.status == 304:
                assert reply.values("Content-Length") == Message(answer).values("Content-Length")
            assert not (reply.status == 204 and reply.values("Content-Length"))
        assert not wire.buffer
    assert pod.connections == 1


async def test_head_of_an_answer_of_our_own(edge: Edge) -> None:
    async with dial(edge.address) as wire:
        for path, status in (("/health", 200), ("/nowhere", 404)):
            await wire.send(request("HEAD", path))
            reply = await wire.reply("HEAD")
            assert (reply.status, reply.values("Content-Length") != [b"0"]) == (status, True)
        await wire.send(request("GET", "/health", "Connection: close"))
        assert (await wire.reply()).body == b"healthy\n"
        assert await wire.rest() == b""


async def test_close_is_obeyed(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/http/{place.name}/", "Connection: Close"))
        reply = await wire.reply()
        assert reply.values("Connection") == [b"close"]
        assert await wire.rest() == b""


@pytest.mark.parametrize("framing", ["chunks", "length", "end of stream"])
@pytest.mark.parametrize("fields", ["", "Connection: keep-alive\r\n", "Host: edge.test\r\n"])
async def test_clients_that_speak_http_1_0(edge: Edge, nursery: trio.Nursery, framing: str, fields: str) -> None:
    place = edge.site.take()
    heads = {"length": b"Content-Length: 5\r\n", "chunks": b"Transfer-Encoding: chunked\r\n", "end of stream": b""}
    body = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n" if framing == "chunks" else b"hello"
    seen: list[Message] = []

    async def answer(wire: Wire) -> None:
        seen.append(await wire.request())
        await wire.send(b"HTTP/1.1 200 OK\r\n" + heads[framing] + b"\r\n" + body)

    await raw_pod(nursery, place.address, place.port, answer)
    async with dial(edge.address) as wire:
        await wire.send(f"GET /http/{place.name}/x HTTP/1.0\r\n{fields}\r\n".encode())
        head = Message(await wire.head())
        assert head.values("Transfer-Encoding") == []
        if b"keep-alive" in [value.lower() for value in head.values("Connection")]:
            assert head.values("Content-Length") == [b"5"]
            assert await wire.exactly(5) == b"hello"
        else:
            assert await wire.rest() == b"hello"
    assert seen[0].line == "GET /x HTTP/1.1"
    assert len(seen[0].values("Host")) == 1


async def test_a_pod_that_speaks_http_1_0(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def answer(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nold body")

    pod = await raw_pod(nursery, place.address, place.port, answer)
    for _ in range(2):
        reply = await ask(edge.address, "GET", f"/http/{place.name}/", "Connection: close")
        assert (reply.status, reply.body, reply.values("X-Old")) == (200, b"old body", [b"1"])
    assert pod.connections == 2


async def test_early_hints_are_relayed_to_those_who_know_them(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok(b"late"))
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/http/{place.name}/"))
        hints = await wire.reply()
        assert (hints.status, hints.values("Link")) == (103, [b"</x>"])
        assert (await wire.reply()).body == b"late"
    async with dial(edge.address) as wire:
        await wire.send(f"GET /http/{place.name}/ HTTP/1.0\r\n\r\n".encode())
        assert (await wire.reply()).status == 200


async def test_an_upgrade_is_dropped_where_the_route_has_none(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        await wire.send(request("GET", f"/http/{place.name}/", *fields, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        assert (await wire.reply()).status == 200
    assert pod.seen[0].values("Upgrade") == pod.seen[0].values("Connection") == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit(edge: Edge, nursery: trio.Nursery, chunked: bool) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        if chunked:
            await wire.send(request("POST", f"/http/{place.name}/", "Transfer-Encoding: chunked"))
            await wire.send(b"19001\r\n" + b"x" * 0x19001)  # its end never comes
        else:
            await wire.send(request("POST", f"/http/{place.name}/", "Content-Length: 102401"))
        reply = await wire.reply()
        assert reply.status == 413
        assert reply.values("Connection") == [b"close"]
        assert await wire.end() == "eof"
    assert pod.seen == []


async def test_a_body_of_exactly_the_limit(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    assert (await ask(edge.address, "POST", f"/http/{place.name}/", body=b"x" * 102_400)).status == 200
    assert len(pod.seen[0].body) == 102_400


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabc\r\nzz\r\n",
        b"-1\r\n",
        b"0x3\r\nabc\r\n",
        b"3\nabc\n0\n\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"3;" + b"x" * 100_000 + b"\r\nabc\r\n0\r\n\r\n",
        b"f" * 40 + b"\r\n",
        b"0\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"0\r\nbad trailer\r\n\r\n",
    ],
    ids=["letters", "sign", "0x", "bare LF", "too long", "extension", "huge", "trailers", "bad trailer"],
)
async def test_bad_chunks_are_400_and_never_another_request(edge: Edge, nursery: trio.Nursery, body: bytes) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request("POST", f"/http/{place.name}/", "Transfer-Encoding: chunked"))
        await wire.send(body + request("GET", f"/http/{place.name}/smuggled"))
        assert (await wire.reply()).status in (400, 431)
        assert await wire.end() in ("eof", "reset")
    assert pod.seen == []


async def test_bytes_beyond_a_body_are_a_request_or_400(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request("POST", f"/http/{place.name}/", body=b"body") + b" and more of it\r\n\r\n")
        assert (await wire.reply()).status == 200
        assert (await wire.reply()).status == 400
        assert await wire.end() in ("eof", "reset")
    assert [seen.body for seen in pod.seen] == [b"body"]
