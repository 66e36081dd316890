"""Pods that lie: a bad gateway or a cut connection, never a hang, never another request's bytes."""

from __future__ import annotations

import pytest
import trio

from tests.kit.calls import handshake
from tests.kit.edge import Edge
from tests.kit.http import Message
from tests.kit.pods import ok, raw_pod
from tests.kit.wire import EndOfStream, Wire, ask, dial, request

GARBAGE = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "binary": bytes(range(256)) * 4,
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "status 99": b"HTTP/1.1 099 X\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "fold": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length list": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 1\r\n\r\nab",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: zip\r\n\r\nab",
    "endless line": b"HTTP/1.1 200 " + b"x" * 70_000,
    "oversized head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
}
INCOMPLETE = {
    "short of its length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
    "chunk cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "chunk of letters": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n0\r\n\r\n",
    "endless chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + b"1" * 100_000,
    "longer chunk than it says": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello, world\r\n0\r\n\r\n",
}


@pytest.fixture
def edge(plain_edge: Edge) -> Edge:
    return plain_edge


@pytest.mark.parametrize("upgrade", [False, True], ids=["plain", "upgrade"])
@pytest.mark.parametrize("what", GARBAGE)
async def test_garbage_is_a_bad_gateway(edge: Edge, nursery: trio.Nursery, what: str, upgrade: bool) -> None:
    place = edge.site.take()

    async def rave(wire: Wire) -> None:
        await wire.head()
        await wire.send(GARBAGE[what])
        if what == "HTTP/0.9":
            return
        await wire.end()

    await raw_pod(nursery, place.address, place.port, rave)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/ws1/{place.name}/") if upgrade else request("GET", f"/http/{place.name}/"))
        assert (await wire.reply()).status == 502


@pytest.mark.parametrize("what", INCOMPLETE)
async def test_an_incomplete_answer_never_looks_complete(edge: Edge, nursery: trio.Nursery, what: str) -> None:
    place = edge.site.take()

    async def break_off(wire: Wire) -> None:
        await wire.head()
        await wire.send(INCOMPLETE[what])
        if what.startswith(("chunk of", "endless", "longer")):
            await wire.end()

    await raw_pod(nursery, place.address, place.port, break_off)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/http/{place.name}/") + request("GET", "/health"))
        try:
            assert (await wire.reply()).status == 502  # it was all there before a byte was passed on
        except (EndOfStream, trio.BrokenResourceError):
            assert b"healthy" not in wire.buffer
    line = await edge.line("exchange", path=f"/http/{place.name}/")
    assert line["reason"] in ("pod_closed", "bad_answer")


# A close with something unread is a reset, which discards what the client has not acknowledged (RFC 9112 §9.6).
async def test_what_had_come_of_an_answer_arrives_whatever_the_client_has_sent(
    edge: Edge, nursery: trio.Nursery
) -> None:
    place, body = edge.site.take(), bytes(15_000)

    async def break_off(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + body)
        await trio.sleep(0.2)
        wire.reset()

    await raw_pod(nursery, place.address, place.port, break_off)
    async with dial(edge.address, window=4096) as wire:
        await wire.send(request("GET", f"/http/{place.name}/"))
        await wire.head()
        await wire.send(request("GET", "/health"))
        line = await edge.line("exchange", path=f"/http/{place.name}/")
        assert (line["reason"], line["bytes_to_client"]) == ("pod_reset", len(body))
        assert await wire.rest() == body


@pytest.mark.parametrize("what", ["reset", "closed"])
async def test_an_http_1_0_client_can_tell_that_the_answer_broke_off(
    edge: Edge, nursery: trio.Nursery, what: str
) -> None:
    place = edge.site.take()

    async def break_off(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await trio.sleep(0.05)
        if what == "reset":
            wire.reset()

    await raw_pod(nursery, place.address, place.port, break_off)
    async with dial(edge.address) as wire:
        await wire.send(f"GET /http/{place.name}/ HTTP/1.0\r\n\r\n".encode())
        with pytest.raises(trio.BrokenResourceError):
            await wire.rest()


@pytest.mark.parametrize(
    "more",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", b"more than it said", b"\r\n"],
    ids=["a whole answer", "bytes", "empty line"],
)
async def test_bytes_beyond_an_answer_are_nobodys(edge: Edge, nursery: trio.Nursery, more: bytes) -> None:
    place = edge.site.take()

    async def say_too_much(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(ok(b"mine") + more)

    await raw_pod(nursery, place.address, place.port, say_too_much)
    async with dial(edge.address) as wire:
        for _ in range(5):
            await wire.send(request("GET", f"/http/{place.name}/"))
            reply = await wire.reply()
            assert (reply.status, reply.body) == (200, b"mine")


async def test_an_answer_that_comes_late_is_nobodys(edge: Edge, nursery: trio.Nursery) -> None:
    """A pod sends a second answer on a connection that is kept idle: the next request must not get it."""
    place = edge.site.take()

    async def forge(wire: Wire) -> None:
        while True:
            seen = await wire.request()
            await wire.send(ok(seen.target))
            await trio.sleep(0.05)
            await wire.send(ok(b"forged"))

    await raw_pod(nursery, place.address, place.port, forge)
    for n in range(3):
        assert (await ask(edge.address, "GET", f"/http/{place.name}/{n}")).body == b"/%d" % n
        await trio.sleep(0.1)


async def test_a_pod_that_speaks_before_it_is_asked(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def hasty(wire: Wire) -> None:
        await wire.send(ok(b"early bird", b"Connection: close"))
        await wire.end()

    await raw_pod(nursery, place.address, place.port, hasty)
    for _ in range(3):
        reply = await ask(edge.address, "GET", f"/http/{place.name}/")
        assert (reply.status, reply.body) in ((200, b"early bird"), (502, reply.body))


@pytest.mark.parametrize("body", [b"", b"body"])
async def test_a_body_where_none_may_be(edge: Edge, nursery: trio.Nursery, body: bytes) -> None:
    place = edge.site.take()

    async def answer(wire: Wire) -> None:
        while True:
            await wire.head()
            await wire.send(b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    await raw_pod(nursery, place.address, place.port, answer)
    async with dial(edge.address) as wire:
        for _ in range(3):
            await wire.send(request("GET", f"/http/{place.name}/"))
            reply = Message(await wire.head())
            assert reply.status in (204, 502)
            if reply.status == 502:
                break
            assert reply.values("Content-Length") == []
            assert not wire.buffer


async def test_a_pod_that_reads_nothing_holds_nobody_up(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    deaf = trio.Event()

    async def ignore(wire: Wire) -> None:
        await wire.head()
        await wire.send(ok(b"no thanks", b"Connection: close"))
        await deaf.wait()

    await raw_pod(nursery, place.address, place.port, ignore)
    async with dial(edge.address) as wire, trio.open_nursery() as sender:
        await wire.send(request("POST", f"/http/{place.name}/", "Content-Length: 9000000"))

        async def flood() -> None:
            try:
                await wire.send(b"x" * 9_000_000)
            except trio.BrokenResourceError:
                return

        sender.start_soon(flood)
        assert (await wire.reply()).body == b"no thanks"
        assert await wire.end() in ("eof", "reset")
        sender.cancel_scope.cancel()
    deaf.set()
