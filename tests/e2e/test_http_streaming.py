"""Bodies flow through, both ways, and are never held whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.http import Message
from tests.kit.pods import http_pod, ok, raw_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, dial, request, until

MIB = 1 << 20
PIECE = bytes(range(256)) * 256  # 64 KiB
PIECES = 1024  # 64 MiB in all: more than all buffers of the kernel together


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    extra = '[limits]\nbody_bytes = "unlimited"\nconnections = 200\n'
    with running(site.toml(extra=extra, deadlines='handshake = "5s"'), site) as edge:
        yield edge


async def test_an_upload_reaches_the_pod_piece_by_piece(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    arrived: list[bytes] = []

    async def take(wire: Wire) -> None:
        await wire.head()
        while piece := await wire.chunk():
            arrived.append(piece)
        await wire.until(b"\r\n")
        await wire.send(ok(b"taken"))

    await raw_pod(nursery, place.address, place.port, take)
    async with dial(edge.address) as wire:
        await wire.send(request("POST", f"/http/{place.name}/", "Transfer-Encoding: chunked"))
        for n in range(5):
            await wire.send(b"7\r\npiece %d\r\n" % n)
            await until(lambda n=n: arrived == [b"piece %d" % i for i in range(n + 1)])  # type: ignore[misc]
        await wire.send(b"0\r\n\r\n")
        assert (await wire.reply()).body == b"taken"


@pytest.mark.parametrize("framing", ["length", "chunks", "end of stream"])
async def test_a_download_reaches_the_client_piece_by_piece(edge: Edge, nursery: trio.Nursery, framing: str) -> None:
    place = edge.site.take()
    go_on, waiting = trio.open_memory_channel[None](0)
    heads = {"length": b"Content-Length: 40\r\n", "chunks": b"Transfer-Encoding: chunked\r\n", "end of stream": b""}

    async def give(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\n" + heads[framing] + b"\r\n")
        for n in range(5):
            await waiting.receive()
            await wire.send(b"8\r\npiece %d\n\r\n" % n if framing == "chunks" else b"piece %d\n" % n)
        await wire.send(b"0\r\n\r\n" if framing == "chunks" else b"")

    await raw_pod(nursery, place.address, place.port, give)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/http/{place.name}/"))
        chunked = Message(await wire.head()).values("Transfer-Encoding") == [b"chunked"]
        for n in range(5):
            await go_on.send(None)
            assert await (wire.chunk() if chunked else wire.exactly(8)) == b"piece %d\n" % n
        if chunked:
            assert await wire.chunks() == (b"", b"")
        elif framing != "length":
            assert await wire.rest() == b""
    assert chunked is (framing == "chunks") or framing == "end of stream"


async def test_memory_stays_flat_in_a_large_upload(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    digest = hashlib.sha256()

    async def take(wire: Wire) -> None:
        head = await wire.head()
        await trio.sleep(0.5)  # the client is ahead
        left = int(Message(head).values("Content-Length")[0])
        while left:
            digest.update(piece := await wire.some())
            left -= len(piece)
        await wire.send(ok(b"taken"))

    await raw_pod(nursery, place.address, place.port, take)
    before = edge.memory()
    async with dial(edge.address) as wire:
        await wire.send(request("PUT", f"/http/{place.name}/", f"Content-Length: {PIECES * len(PIECE)}"))
        for _ in range(PIECES):
            await wire.send(PIECE)
        assert (await wire.reply("PUT")).body == b"taken"
    assert digest.hexdigest() == hashlib.sha256(PIECE * PIECES).hexdigest()
    assert edge.memory("VmHWM") < before + 8 * MIB


async def test_memory_stays_flat_when_a_client_reads_slowly(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    sent = 0

    async def give(wire: Wire) -> None:
        nonlocal sent
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE)))
        for _ in range(PIECES):
            await wire.send(PIECE)
            sent += 1

    await raw_pod(nursery, place.address, place.port, give)
    before = edge.memory()
    async with dial(edge.address, window=65536) as wire:
        await wire.send(request("GET", f"/http/{place.name}/"))
        await wire.head()
        last = -1
        while sent > last:  # until the pod is stopped by a client that reads nothing
            last = sent
            await trio.sleep(0.3)
        assert sent < PIECES
        digest = hashlib.sha256()
        for _ in range(PIECES):
            digest.update(await wire.exactly(len(PIECE)))
    assert digest.hexdigest() == hashlib.sha256(PIECE * PIECES).hexdigest()
    assert edge.memory("VmHWM") < before + 8 * MIB


async def test_an_answer_that_comes_before_the_body_has_ended(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def judge(wire: Wire) -> None:
        await wire.head()
        await wire.send(ok(b"too much\n", b"Connection: close", status=b"413 Content Too Large"))

    pod = await raw_pod(nursery, place.address, place.port, judge)
    async with dial(edge.address) as wire:
        await wire.send(request("POST", f"/http/{place.name}/", "Content-Length: 1000000") + b"x" * 1000)
        reply = await wire.reply()
        assert (reply.status, reply.body) == (413, b"too much\n")
        assert reply.values("Connection") == [b"close"]
        assert await wire.end() in ("eof", "reset")
    assert pod.connections == 1


LEAVING = ("before the answer", "with bytes that nobody read", "in its body", "in the request body")


@pytest.mark.parametrize("when", LEAVING)
async def test_the_pod_is_told_when_the_client_leaves(edge: Edge, nursery: trio.Nursery, when: str) -> None:
    place = edge.site.take()
    started: list[bytes] = []
    ends: list[str] = []

    async def work(wire: Wire) -> None:
        started.append(await wire.head())
        if when == "in its body":
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        ends.append(await wire.end())

    await raw_pod(nursery, place.address, place.port, work)
    fields = ["Content-Length: 100"] if when == "in the request body" else []
    async with dial(edge.address) as wire:
        await wire.send(request("POST", f"/http/{place.name}/", *fields))
        if when == "in its body":
            await wire.until(b"x")
        elif when == "in the request body":
            await wire.send(b"x")
            await until(lambda: started)
        elif when == "with bytes that nobody read":
            await until(lambda: started)
            await wire.send(request("GET", "/health"))
    await until(lambda: ends)
    line = await edge.line("exchange", path=f"/http/{place.name}/")
    assert (line["closed_by"], line["reason"]) == ("client", "client_gone")


async def test_trailers_pass_both_ways(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    answer = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n"
    pod = await http_pod(nursery, place.address, place.port, answer)
    async with dial(edge.address) as wire:
        await wire.send(request("POST", f"/http/{place.name}/", "Transfer-Encoding: chunked", "Trailer: X-Digest"))
        await wire.send(b"3;ext=1\r\nabc\r\n0\r\nX-Digest: sha256\r\nHost: evil\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
        reply = await wire.reply()
        assert (reply.body, reply.trailers) == (b"ab", b"X-Sum: 1\r\n")
        await wire.send(request("GET", f"/http/{place.name}/"))
        assert (await wire.reply()).trailers == b"X-Sum: 1\r\n"
    assert (pod.seen[0].body, pod.seen[0].trailers) == (b"abc", b"X-Digest: sha256\r\n")


async def test_expect_100_is_passed_through(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    seen: list[Message] = []

    async def invite(wire: Wire) -> None:
        head = await wire.head()
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen.append(Message(head, await wire.exactly(4)))
        await wire.send(ok(b"thanks"))

    await raw_pod(nursery, place.address, place.port, invite)
    async with dial(edge.address) as wire:
        await wire.send(request("PUT", f"/http/{place.name}/", "Expect: 100-continue", "Content-Length: 4"))
        assert (await wire.head()).startswith(b"HTTP/1.1 100 ")
        assert seen == []
        await wire.send(b"body")
        reply = await wire.reply()
        assert (reply.status, reply.body) == (200, b"thanks")
    assert seen[0].values("Expect") == [b"100-continue"]
    assert seen[0].body == b"body"


async def test_expect_100_may_be_refused(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def refuse(wire: Wire) -> None:
        await wire.head()
        await wire.send(ok(b"no", status=b"417 Expectation Failed"))
        await wire.end()

    await raw_pod(nursery, place.address, place.port, refuse)
    async with dial(edge.address) as wire:
        await wire.send(request("PUT", f"/http/{place.name}/", "Expect: 100-continue", "Content-Length: 4"))
        assert (await wire.reply()).status == 417
        assert await wire.end() in ("eof", "reset")
