"""What malformed clients hear; no byte of theirs reaches a pod."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.http import Message
from tests.kit.pods import Pod, http_pod
from tests.kit.site import Place, Site
from tests.kit.wire import dial, request

ROUTES = """
[[routes]]
name = "read"
path = "/methods"
methods = ["GET"]
respond = { status = 200, body = "read\\n" }
[[routes]]
name = "write"
path = "/methods"
methods = ["PUT", "DELETE"]
respond = { status = 200, body = "written\\n" }
[[routes]]
name = "closed"
path = "/closed"
clients = ["10.0.0.0/8"]
respond = { status = 200 }
"""
TARGET = "/http/{pod}/"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(ROUTES, extra='[limits]\nhead_bytes = "8KiB"\n'), site) as edge:
        yield edge


@pytest.fixture
async def pod(edge: Edge, nursery: trio.Nursery) -> tuple[Place, Pod]:
    place = edge.site.take()
    return place, await http_pod(nursery, place.address, place.port)


def raw(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


HEADS = {
    "no HTTP": raw("hello"),
    "no version": raw("GET /"),
    "HTTP/0.9": raw("GET / HTTP/0.9", "Host: a"),
    "HTTP/2.0": raw("GET / HTTP/2.0", "Host: a"),
    "HTTP/1.2": raw("GET / HTTP/1.2", "Host: a"),
    "lower case version": raw("GET / http/1.1", "Host: a"),
    "two spaces": raw("GET  / HTTP/1.1", "Host: a"),
    "space in the target": raw("GET /a b HTTP/1.1", "Host: a"),
    "tab for space": raw("GET\t/ HTTP/1.1", "Host: a"),
    "bad method": raw("G@T / HTTP/1.1", "Host: a"),
    "no slash": raw("GET index.html HTTP/1.1", "Host: a"),
    "asterisk for GET": raw("GET * HTTP/1.1", "Host: a"),
    "fragment": raw("GET /a#b HTTP/1.1", "Host: a"),
    "non-ASCII target": raw("GET /\xe9 HTTP/1.1", "Host: a"),
    "no Host": raw("GET / HTTP/1.1"),
    "two Hosts": raw("GET / HTTP/1.1", "Host: a", "Host: a"),
    "empty Host": raw("GET / HTTP/1.1", "Host:"),
    "bad Host": raw("GET / HTTP/1.1", "Host: a/b"),
    "user in Host": raw("GET / HTTP/1.1", "Host: u@a"),
    "two names in Host": raw("GET / HTTP/1.1", "Host: a, b"),
    "space before the colon": raw("GET / HTTP/1.1", "Host: a", "X : b"),
    "no colon": raw("GET / HTTP/1.1", "Host: a", "X"),
    "no name": raw("GET / HTTP/1.1", "Host: a", ": b"),
    "fold": raw("GET / HTTP/1.1", "Host: a", "X: b", " c"),
    "first line folded": raw("GET / HTTP/1.1", " X: b", "Host: a"),
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "one bare LF": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    "NUL": raw("GET / HTTP/1.1", "Host: a", "X: \0"),
    "NUL in the target": raw("GET /\0 HTTP/1.1", "Host: a"),
    "control character": raw("GET / HTTP/1.1", "Host: a", "X: \x01"),
    "DEL": raw("GET / HTTP/1.1", "Host: a", "X: \x7f"),
    "length and chunks": raw("POST / HTTP/1.1", "Host: a", "Content-Length: 4", "Transfer-Encoding: chunked"),
    "chunks and length": raw("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 4"),
    "two lengths": raw("POST / HTTP/1.1", "Host: a", "Content-Length: 4", "Content-Length: 5"),
    "length list": raw("POST / HTTP/1.1", "Host: a", "Content-Length: 4, 4"),
    "length with sign": raw("POST / HTTP/1.1", "Host: a", "Content-Length: +4"),
    "negative length": raw("POST / HTTP/1.1", "Host: a", "Content-Length: -4"),
    "hex length": raw("POST / HTTP/1.1", "Host: a", "Content-Length: 0x4"),
    "empty length": raw("POST / HTTP/1.1", "Host: a", "Content-Length:"),
    "endless length": raw("POST / HTTP/1.1", "Host: a", "Content-Length: " + "9" * 30),
    "chunks in HTTP/1.0": raw("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked"),
    "gzip, chunked": raw("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked"),
    "chunked twice": raw("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "xchunked": raw("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: xchunked"),
    "chunked with a tail": raw("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked\x0b"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",  # which gets 505
    "file URI": raw("GET file:///etc/passwd HTTP/1.1", "Host: a"),
    "user in the URI": raw("GET http://u:p@a/ HTTP/1.1", "Host: a"),
    "URI without host": raw("GET http:///health HTTP/1.1", "Host: a"),
}  # fmt: skip


@pytest.mark.parametrize("what", HEADS)
async def test_a_malformed_head_is_400_and_the_end(edge: Edge, what: str) -> None:
    async with dial(edge.address) as wire:
        await wire.send(HEADS[what])
        reply = await wire.reply()
        assert reply.status == (505 if what == "HTTP/2 preface" else 400)
        assert reply.values("Connection") == [b"close"]
        assert await wire.end() in ("eof", "reset")


CLIMBING = ("../x", "a/../x", "%2e%2e/x", ".%2E/x", "a%2f..%2fx", "a/.", "a/..", "./x", "%2e")
BROKEN = ("a\\b", "a%5Cb", "a%00", "a%0a", "a%7f", "%", "%4", "%zz")


@pytest.mark.parametrize("path", [*CLIMBING, *BROKEN])
async def test_a_path_that_climbs_or_is_broken_is_400(edge: Edge, pod: tuple[Place, Pod], path: str) -> None:
    place, waiting = pod
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/http/{place.name}/{path}"))
        assert (await wire.reply()).status == 400
    assert waiting.connections == 0


@pytest.mark.parametrize(
    "path", ["a%2Fb", "a%20b", "..a/b..", "...", ".well-known/x", "a//b", "%E0%A4%A8", "a?../..", "a?b\\c"]
)
async def test_a_path_that_only_looks_odd_passes(edge: Edge, pod: tuple[Place, Pod], path: str) -> None:
    place, waiting = pod
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/http/{place.name}/{path}"))
        assert (await wire.reply()).status == 200
    assert waiting.seen[0].target == b"/" + path.encode()


@pytest.mark.parametrize(
    "head",
    [
        request("GET", "/health", "X: " + "x" * 9000),
        request("GET", "/health", *["X: y"] * 2000),
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000,
    ],
    ids=["one field", "many fields", "without an end"],
)
async def test_an_oversized_head_is_431(edge: Edge, head: bytes) -> None:
    await _refused(edge, head, 431)


@pytest.mark.parametrize("head", [request("GET", "/" + "x" * 9000), b"G" * 9000], ids=["target", "method"])
async def test_an_oversized_request_line_is_414(edge: Edge, head: bytes) -> None:
    await _refused(edge, head, 414)


async def _refused(edge: Edge, head: bytes, status: int) -> None:
    async with dial(edge.address) as wire:
        await wire.send(head)
        reply = await wire.reply()
        assert reply.status == status
        assert reply.values("Connection") == [b"close"]


async def test_a_head_of_the_limit_passes(edge: Edge) -> None:
    filler = 8192 - len(request("GET", "/health", "X: "))
    async with dial(edge.address) as wire:
        await wire.send(request("GET", "/health", "X: " + "x" * filler))
        assert (await wire.reply()).status == 200


async def test_requests_that_no_route_takes(edge: Edge) -> None:
    async with dial(edge.address) as wire:
        for method, target, status in (
            ("GET", "/nowhere", 404),
            ("GET", "/methods", 200),
            ("PUT", "/methods", 200),
            ("PATCH", "/methods", 405),
            ("GET", "/closed", 403),
            ("GET", "/http/not-a-pod/", 503),
            ("GET", "/http/Not.a.pod/", 404),
            ("GET", "http://other.test/health", 200),
            ("GET", "http://other.test", 404),
            ("OPTIONS", "*", 404),
        ):
            await wire.send(request(method, target))
            reply = await wire.reply()
            assert reply.status == status, target
            if status == 405:
                allowed = {word.strip() for word in b",".join(reply.values("Allow")).split(b",")}
                assert allowed == {b"GET", b"HEAD", b"PUT", b"DELETE"}


@pytest.mark.parametrize("target", ["pod.example:443", "/health", "http://pod.example/"])
async def test_connect_is_405(edge: Edge, target: str) -> None:
    async with dial(edge.address) as wire:
        await wire.send(request("CONNECT", target))
        reply = await wire.reply("CONNECT")
        assert reply.status == 405
        assert b"GET" in b",".join(reply.values("Allow"))


async def test_empty_lines_before_a_request_are_ignored(edge: Edge) -> None:
    async with dial(edge.address) as wire:
        await wire.send(b"\r\n\r\n" + request("GET", "/health") + b"\r\n" + request("GET", "/health"))
        assert [(await wire.reply()).status for _ in range(2)] == [200, 200]


async def test_a_smuggled_request_is_never_served(edge: Edge, pod: tuple[Place, Pod]) -> None:
    place, waiting = pod
    inner = request("GET", f"/http/{place.name}/smuggled")
    for fields in (("Content-Length: 4", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked, identity",)):
        async with dial(edge.address) as wire:
            await wire.send(request("POST", f"/http/{place.name}/", *fields) + b"0\r\n\r\n" + inner)
            assert (await wire.reply()).status == 400
            assert await wire.end() in ("eof", "reset")
    assert waiting.connections == 0


async def test_the_refusal_of_a_large_request_is_heard(edge: Edge, pod: tuple[Place, Pod]) -> None:
    place, _ = pod
    async with dial(edge.address) as wire, trio.open_nursery() as nursery:
        await wire.send(request("POST", f"/http/{place.name}/../", "Content-Length: 900000"))
        nursery.start_soon(wire.send, b"x" * 900_000)
        assert Message(await wire.head()).status == 400
