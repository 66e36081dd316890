"""Retries with real names and sockets: a pod that is full or gone costs no request, and no POST is sent twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.pods import http_pod, ok, raw_pod, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import Wire, ask

ROUTES = """
[[routes]]
name = "retried"
regex = '^/retried/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "any"
rewrite = "{rest}"
retries = 1
"""
BUSY = ok(b"busy", status=b"503 Service Unavailable")


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(ROUTES), site) as edge:
        yield edge


async def test_a_full_pod_costs_no_request(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    full = await http_pod(nursery, place.address, place.port, BUSY)
    idle = await http_pod(nursery, place.twin, place.port)
    for number in range(6):
        reply = await ask(edge.address, "PUT", f"/retried/{place.name}/{number}", body=b"once or twice")
        assert (reply.status, reply.body) == (200, place.twin.encode())
    assert full.connections > 0
    assert [(seen.target, seen.body) for seen in idle.seen] == [
        (b"/%d" % number, b"once or twice") for number in range(6)
    ]
    assert all(seen.get("X-Splicer-Fallback-From") is None for seen in idle.seen)
    line = await edge.line("exchange", path=f"/retried/{place.name}/0")
    assert line["attempts"][-1] == {"upstream": "any", "endpoint": place.twin_endpoint, "failure": None}


async def test_a_call_finds_the_pod_that_is_free(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port, BUSY)
    await tunnel_pod(nursery, place.twin, place.port)
    for _ in range(4):
        async with tunnel(edge, f"/retried/{place.name}/") as wire:
            await wire.send(b"hello")
            assert await wire.exactly(5) == b"hello"


async def test_a_post_is_sent_once(edge: Edge, nursery: trio.Nursery) -> None:
    async def gone(wire: Wire) -> None:
        await wire.head()

    place = edge.site.take()
    pods = [await raw_pod(nursery, address, place.port, gone) for address in (place.address, place.twin)]
    for number in range(1, 5):
        assert (await ask(edge.address, "POST", f"/retried/{place.name}/", body=b"once")).status == 502
        assert sum(pod.connections for pod in pods) == number


async def test_when_all_are_full_the_last_ones_answer_is_the_answer(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    for address in (place.address, place.twin):
        await http_pod(nursery, address, place.port, BUSY)
    reply = await ask(edge.address, "GET", f"/retried/{place.name}/")
    assert (reply.status, reply.body) == (503, b"busy")
