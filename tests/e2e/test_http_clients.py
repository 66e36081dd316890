"""A reverse proxy for ordinary clients: heads, bodies and connections."""

from __future__ import annotations

import http.client

import pytest
import trio

from tests.kit.edge import Edge
from tests.kit.pods import http_pod, ok, raw_pod
from tests.kit.wire import Wire, ask, dial

EARLY = [
    b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
    b"ServeR: pod/1",
    b"Set-Cookie: a=1",
    b"x-lower: 1",
    b"Set-Cookie: b=2",
    b"X-UPPER: \xe9\xff",
    b"ETag: W/\"x\"",
]  # fmt: skip


@pytest.fixture
def edge(plain_edge: Edge) -> Edge:
    return plain_edge


async def test_http_client_keeps_one_connection_for_many_requests(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port, lambda seen: ok(seen.body or seen.target))

    def talk() -> list[bytes]:
        connection = http.client.HTTPConnection(*edge.address, timeout=15)
        bodies = []
        for n in range(5):
            connection.request("GET", f"/http/{place.name}/{n}")
            bodies.append(connection.getresponse().read())
            sock = connection.sock
            connection.request("POST", f"/http/{place.name}/{n}", body=b"x" * n * 1000)
            bodies.append(connection.getresponse().read())
            assert connection.sock is sock
        connection.close()
        return bodies

    bodies = await trio.to_thread.run_sync(talk)
    assert bodies == [body for n in range(5) for body in (b"/%d" % n, b"x" * n * 1000 or b"/0")]
    assert len(pod.seen) == 10


async def test_http_client_uploads_in_chunks(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port, lambda seen: ok(b"%d" % len(seen.body)))

    def talk() -> bytes:
        connection = http.client.HTTPConnection(*edge.address, timeout=15)
        connection.request("PUT", f"/http/{place.name}/x", body=(b"a" * 10_000 for _ in range(10)), encode_chunked=True)
        body = connection.getresponse().read()
        connection.close()
        return body

    assert await trio.to_thread.run_sync(talk) == b"100000"
    assert pod.seen[0].values("Transfer-Encoding") == [b"chunked"]
    assert pod.seen[0].values("Content-Length") == []


async def test_pod_connections_are_kept_and_used_again(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    for _ in range(10):
        assert (await ask(edge.address, "GET", f"/http/{place.name}/")).status == 200
    assert pod.connections == 1


@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_a_stale_kept_connection_is_replaced_by_a_fresh_one(edge: Edge, nursery: trio.Nursery, how: str) -> None:
    place = edge.site.take()

    async def serve_one(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok(b"one"))
        await wire.request()
        if how == "resets":
            wire.reset()

    pod = await raw_pod(nursery, place.address, place.port, serve_one)
    for _ in range(3):
        reply = await ask(edge.address, "GET", f"/http/{place.name}/")
        assert (reply.status, reply.body) == (200, b"one")
    assert pod.connections == 3


async def test_a_kept_connection_that_the_pod_closed_is_not_used(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def serve_one(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok(b"one"))

    await raw_pod(nursery, place.address, place.port, serve_one)
    for _ in range(3):
        assert (await ask(edge.address, "GET", f"/http/{place.name}/")).status == 200
        reply = await ask(edge.address, "POST", f"/http/{place.name}/", body=b"not idempotent")
        assert (reply.status, reply.body) == (200, b"one")


async def test_a_pod_that_says_close_is_not_kept(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port, ok(b"x", b"Connection: close"))
    for _ in range(2):
        reply = await ask(edge.address, "GET", f"/http/{place.name}/")
        assert reply.body == b"x"
        assert b"close" not in reply.values("Connection"), "the pod's Connection is not the client's"
    assert pod.connections == 2


async def test_order_and_case_of_a_request_head(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    fields = [
        "X-Second: 2",
        "accept: */*",
        "hOsT-like: x",
        "COOKIE: a=b; c=d",
        "X-Second: again",
        "X-Empty:",
        "Te-st: é",
    ]
    async with dial(edge.address) as wire:
        lines = [f"DELETE /http/{place.name}/p HTTP/1.1", *fields[:2], "hOSt: Edge.Test:80", *fields[2:], "", ""]
        await wire.send("\r\n".join(lines).encode("latin-1"))
        assert (await wire.reply()).status == 200
    lines = pod.seen[0].head.decode("latin-1").split("\r\n")
    assert lines[0] == "DELETE /p HTTP/1.1"
    assert lines[1 : 1 + 8] == [
        *fields[:2],
        "hOSt: Edge.Test:80",
        *[f if f != "X-Empty:" else "X-Empty: " for f in fields[2:]],
    ]
    assert all(line.startswith("X-") for line in lines[9:-4])
    assert lines[-4:-2] == ["Via: 1.1 splicer", f"X-Original-URI: /http/{place.name}/p"]


async def test_order_and_case_of_a_response_head(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port, ok(b"body", *EARLY, status=b"299 Rather Odd"))
    reply = await ask(edge.address, "GET", f"/http/{place.name}/")
    assert reply.line == "HTTP/1.1 299 Rather Odd"
    assert reply.head.split(b"\r\n")[1 : 1 + len(EARLY)] == EARLY
    assert reply.values("content-length") == [b"4"]


async def test_a_client_of_http2_is_told_that_it_is_not_spoken(edge: Edge) -> None:
    async with dial(edge.address) as wire:
        await wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        answer = await wire.reply()
        assert (answer.status, answer.get("Connection")) == (505, "close")
        assert await wire.end() == "eof"
    line = await edge.line("exchange", reason="http2_not_spoken")
    assert (line["status"], line["method"], line["path"]) == (505, "PRI", "*")
