"""What a route changes in requests and answers, by real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.calls import ACCEPT, handshake
from tests.kit.edge import Edge, running
from tests.kit.http import Message
from tests.kit.pods import http_pod, ok, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import ask, dial, request

ROUTES = """
[[routes]]
name = "upload"
regex = '^/upload/(?<pod>[^/]+)/'
upstream = "pod"
body_bytes = "20KiB"
[[routes]]
name = "edited"
regex = '^/edited/(?<pod>[^/]+)(?<rest>/.*)$'
upstream = "pod"
rewrite = "{rest}"
upgrade = ["websocket"]
host = "{pod}.app.test"
request_headers = { X-Pod = "{pod}", X-Call = "{header:X-Call-ID} of {client}", Cookie = false }
response_headers = { X-Edge = "{scheme} {request_id}", Server = false, Strict-Transport-Security = "max-age=1" }
[[routes]]
name = "to-https"
prefix = "/old/"
hosts = ["a.test", "*.a.test"]
redirect = { to = "https://{host}/new{target}", status = 308 }
"""

OTHER = """
[limits]
body_bytes = 10
[[errors]]
status = [404, 413, 502, 503]
body = '{"error":"no agent is free"}'
content_type = "application/json"
"""
ERROR = b'{"error":"no agent is free"}'


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(ROUTES, extra=OTHER), site) as edge:
        yield edge


async def test_a_request_and_its_answer_are_changed(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port, ok(b"body", b"Server: pod", b"X-Edge: pod's"))
    target = f"/edited/{place.name}/x"
    fields = ("Cookie: c", "X_Pod: mine", "X-Call-ID: 7", "X-Request-ID: id-1", "X-Forwarded-Proto: https")
    for source, scheme in (("127.0.0.9", "https"), ("127.0.0.8", "http")):
        reply = await ask(edge.address, "GET", target, *fields, source=source)
        seen = pod.seen.pop()
        assert (seen.get("Host"), seen.get("X-Forwarded-Host")) == (f"{place.name}.app.test", "edge.test")
        assert (seen.get("X-Pod"), seen.get("X-Call")) == (place.name, f"7 of {source}")
        assert seen.values("Cookie") == seen.values("X_Pod") == []
        assert reply.get("X-Edge") == f"{scheme} {seen.get('X-Request-ID')}"
        assert (reply.get("Server"), reply.body) == (None, b"body")
        assert reply.get("Strict-Transport-Security") == ("max-age=1" if scheme == "https" else None)


async def test_a_call_opens_and_flows_with_a_changed_101(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with dial(edge.address) as wire:
        await wire.send(handshake(f"/edited/{place.name}/x") + b"early")
        head = Message(await wire.head())
        assert (head.status, head.get("Sec-WebSocket-Accept")) == (101, ACCEPT.decode())
        assert (head.get("X-Edge") or "").startswith("http ")
        assert await wire.exactly(5) == b"early"
        await wire.send(b"x" * 100_000)
        assert await wire.exactly(100_000) == b"x" * 100_000


@pytest.mark.parametrize("upgrade", [False, True])
async def test_a_refusal_is_changed(edge: Edge, upgrade: bool) -> None:
    target = f"/edited/{edge.site.take().name}/x"
    async with dial(edge.address) as wire:
        await wire.send(handshake(target) if upgrade else request("GET", target))
        reply = await wire.reply()
    assert reply.status == 502
    assert (reply.get("X-Edge") or "").startswith("http ")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_redirect(edge: Edge, method: str) -> None:
    async with dial(edge.address) as wire:
        for host in ("a.test", "B.A.test:8080"):
            await wire.send(request(method, "/old//evil.test?b=%0d%0aX:y", host=host))
            reply = await wire.reply(method)
            name = host.partition(":")[0].lower()
            assert reply.status == 308
            assert reply.get("Location") == f"https://{name}/new/old//evil.test?b=%0d%0aX:y"
            assert reply.get("X") is None
    assert (await ask(edge.address, method, "/old/x", host="evil.test")).status == 404
    assert (await ask(edge.address, "GET", "/old/%0d%0aX:y", host="a.test")).status == 400


def check(reply: Message, method: str, status: int) -> None:
    assert (reply.status, reply.get("Content-Type")) == (status, "application/json")
    assert reply.get("Content-Length") == str(len(ERROR))
    assert reply.body == (b"" if method == "HEAD" else ERROR)


@pytest.mark.parametrize("method", ["GET", "HEAD", "upgrade"])
async def test_errors_have_their_own_bodies(edge: Edge, nursery: trio.Nursery, method: str) -> None:
    dead, full = edge.site.take(), edge.site.take()
    error = ok(b"" if method == "HEAD" else b"theirs", b"Retry-After: 3", b"X-A: b", status=b"503 Full")
    await http_pod(nursery, full.address, full.port, error)
    for target, status in (("/nothing", 404), (f"/edited/{dead.name}/", 502), (f"/edited/{full.name}/", 503)):
        async with dial(edge.address) as wire:
            await wire.send(handshake(target) if method == "upgrade" else request(method, target, host="edge.test"))
            reply = await wire.reply(method)
            check(reply, method, status)
            assert reply.get("Retry-After") == ("3" if status == 503 else None)
            assert reply.get("X-A") is None


async def test_the_body_of_a_request_may_be_larger_on_one_route(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    upload, other = f"/upload/{place.name}/", f"/http/{place.name}/"
    assert (await ask(edge.address, "POST", upload, body=b"x" * 20480)).status == 200
    check(await ask(edge.address, "POST", upload, body=b"x" * 20481), "POST", 413)
    assert (await ask(edge.address, "POST", other, body=b"x" * 11)).status == 413
    assert [len(seen.body) for seen in pod.seen] == [20480]
    async with dial(edge.address) as wire:
        await wire.send(request("POST", upload, "Transfer-Encoding: chunked") + b"5001\r\n" + b"x" * 0x5001)
        assert (await wire.reply()).status == 413
