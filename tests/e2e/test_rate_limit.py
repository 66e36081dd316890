"""Limits for single clients: requests over the rate get 429, connections over the number 503; the rest is served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import trio

from tests.e2e.operator import Growth, observed, scrape
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import ask_at, echoes
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import ask, dial, request

ROUTES = """
[[routes]]
name = "by-client"
path = "/by-client"
respond = { status = 200 }
rate_limit = { rate = "1/h", burst = 2 }
[[routes]]
name = "by-key"
regex = '^/by-key/(?<pod>[^/]+)(?<rest>/.*)$'
upstream = "pod"
rewrite = "{rest}"
rate_limit = { rate = "1/h", burst = 4, by = "header:X-Key" }
"""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(observed(site, 2, routes=ROUTES), site) as edge:
        yield edge


async def test_each_worker_has_its_share_of_each_key(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await http_pod(nursery, place.address, place.port)
    before = await scrape(edge)
    path = f"/by-key/{place.name}/x"
    for key in ("one", "two"):
        for slot in (1, 2):
            told = [await at(edge, slot, path, f"X-Key: {key}") for _ in range(4)]
            assert told == [200, 200, 429, 429]
    refused = await edge.wait_lines(8, "exchange", path=path, status=429)
    assert {(line["route"], line["reason"], line["closed_by"]) for line in refused} == {
        ("by-key", "rate_limited", "proxy")
    }
    assert Growth(before, await scrape(edge))("rate_limited_total", route="by-key") == 8


async def at(edge: Edge, slot: int, path: str, *fields: str) -> int:
    """The status of an answer of this worker."""
    return (await ask_at(edge, slot, path, *fields)).status


async def test_a_reload_leaves_the_counts_alone(edge: Edge) -> None:
    assert [await at(edge, 1, "/by-client") for _ in range(2)] == [200, 429]
    assert (await edge.reload(edge.path.read_text() + "\n"))["event"] == "reload"
    assert await at(edge, 1, "/by-client") == 429
    changed = edge.path.read_text().replace('rate = "1/h", burst = 2', 'rate = "2/h", burst = 2')
    assert (await edge.reload(changed))["event"] == "reload"
    assert await at(edge, 1, "/by-client") == 200


async def test_a_refused_client_is_told_when_to_come_again(edge: Edge) -> None:
    for _ in range(4):
        reply = await ask(edge.address, "GET", "/by-client")
    assert reply.status == 429
    [seconds] = reply.values("Retry-After")
    assert 1 <= int(seconds) <= 2 * 3600


async def test_a_client_may_have_so_many_connections(nursery: trio.Nursery) -> None:
    site = Site()
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)
    limits = "[limits]\nconnections_per_client = 3\n"
    with running(site.toml(extra=limits), site) as edge:
        async with AsyncExitStack() as stack:
            calls = [await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/x")) for _ in range(3)]
            async with dial(edge.address) as wire:
                reply = await wire.reply()
                assert (reply.status, reply.values("Connection")) == (503, [b"close"])
            refused = await edge.line("connection_refused")
            assert (refused["client"], refused["reason"]) == ("127.0.0.1", "connections_per_client")
            for source in ("127.0.0.2", "127.0.0.9"):  # another client, and a trusted proxy
                async with dial(edge.address, source) as wire:
                    await wire.send(request("GET", "/health"))
                    assert (await wire.reply()).status == 200
            for call in calls:
                await echoes(call)
            await calls[0].close()
            await edge.line("tunnel_close")
            assert (await ask(edge.address, "GET", "/health")).status == 200
            text = edge.path.read_text()
            assert (await edge.reload(text.replace(limits, "")))["event"] == "reload"
            for _ in range(5):
                await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/x"))
        await edge.wait_lines(7, "tunnel_close")  # since the reload
