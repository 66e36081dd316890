"""Plain HTTP falls back only where sending it twice can do no harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.pods import http_pod, ok, raw_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, ask, dial, request

UNAVAILABLE = ok(b"sorry", status=b"503 Service Unavailable")


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(deadlines='connect = "600ms"\nhandshake = "600ms"'), site) as edge:
        yield edge


async def gone(wire: Wire) -> None:
    await wire.head()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_an_idempotent_request_falls_back(edge: Edge, nursery: trio.Nursery, method: str) -> None:
    for handle in (gone, None):
        place = edge.site.take()
        if handle:
            await raw_pod(nursery, place.address, place.port, handle)
        else:
            await http_pod(nursery, place.address, place.port, UNAVAILABLE)
        twin = await http_pod(nursery, place.twin, place.port)
        body = b"small body" if method == "PUT" else b""
        reply = await ask(edge.address, method, f"/http2/{place.name}/x?y", body=body)
        assert reply.status == 200
        (seen,) = twin.seen
        assert (seen.target, seen.body) == (b"/x?y", body)
        assert seen.values("X-Splicer-Fallback-From") == [place.name.encode()]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_still_coming_is_sent_whole_to_the_fallback(
    edge: Edge, nursery: trio.Nursery, chunked: bool
) -> None:
    place = edge.site.take()

    async def leave_in_the_middle(wire: Wire) -> None:
        await wire.head()
        await wire.some()

    await raw_pod(nursery, place.address, place.port, leave_in_the_middle)
    twin = await http_pod(nursery, place.twin, place.port)
    field = "Transfer-Encoding: chunked" if chunked else "Content-Length: 3000"
    pieces = [b"3e8\r\n" + b"x" * 1000 + b"\r\n" if chunked else b"x" * 1000] * 3
    async with dial(edge.address) as wire:
        await wire.send(request("PUT", f"/http2/{place.name}/", field))
        for piece in pieces:
            await wire.send(piece)
            await trio.sleep(0.05)
        await wire.send(b"0\r\n\r\n" if chunked else b"")
        assert (await wire.reply("PUT")).status == 200
    assert [seen.body for seen in twin.seen] == [b"x" * 3000]


async def test_a_post_that_a_pod_may_have_seen_is_not_sent_again(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await raw_pod(nursery, place.address, place.port, gone)
    twin = await http_pod(nursery, place.twin, place.port)
    assert (await ask(edge.address, "POST", f"/http2/{place.name}/", body=b"once")).status == 502
    assert (pod.connections, twin.connections) == (1, 0)


async def test_a_post_that_got_a_503_is_not_sent_again(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port, UNAVAILABLE)
    twin = await http_pod(nursery, place.twin, place.port)
    reply = await ask(edge.address, "POST", f"/http2/{place.name}/", body=b"once")
    assert (reply.status, reply.body) == (503, b"sorry")
    assert twin.connections == 0


async def test_a_post_that_no_pod_has_seen_falls_back(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    twin = await http_pod(nursery, place.twin, place.port)
    assert (await ask(edge.address, "POST", f"/http2/{place.name}/", body=b"x" * 200_000)).status == 200
    assert [len(seen.body) for seen in twin.seen] == [200_000]


async def test_a_body_too_large_to_keep_is_not_sent_again(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def leave_late(wire: Wire) -> None:
        await wire.request()

    await raw_pod(nursery, place.address, place.port, leave_late)
    twin = await http_pod(nursery, place.twin, place.port)
    assert (await ask(edge.address, "PUT", f"/http2/{place.name}/", body=b"x" * 2_000_000)).status == 502
    assert twin.connections == 0


async def test_an_answer_that_broke_off_is_not_begun_again(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def break_off(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    await raw_pod(nursery, place.address, place.port, break_off)
    twin = await http_pod(nursery, place.twin, place.port)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/http2/{place.name}/"))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        assert await wire.exactly(9) == b"only this"
        assert await wire.end() in ("eof", "reset")
        assert wire.buffer == b""
    assert twin.connections == 0


async def test_without_a_fallback_there_is_one_attempt(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port, UNAVAILABLE)
    twin = await http_pod(nursery, place.twin, place.port)
    assert (await ask(edge.address, "GET", f"/http/{place.name}/")).body == b"sorry"
    assert (await ask(edge.address, "GET", f"/http/{edge.site.take().name}/")).status == 502
    assert twin.connections == 0


async def test_a_silent_pod_costs_one_handshake_deadline(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()

    async def silent(wire: Wire) -> None:
        await wire.end()

    await raw_pod(nursery, place.address, place.port, silent)
    assert (await ask(edge.address, "GET", f"/http/{place.name}/")).status == 504
    await http_pod(nursery, place.twin, place.port)
    assert (await ask(edge.address, "GET", f"/http2/{place.name}/")).status == 200
