"""A canary: one route, two versions of the pods, and weights that change while calls are open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.pods import http_pod, ok, raw_pod, switching
from tests.kit.site import Site
from tests.kit.wire import Wire, ask

ACCOUNTS = range(40)


def routes(site: Site, stable: int, canary: int) -> str:
    return f"""
[upstreams.stable]
address = "{site.net}.241:{site.port}"
[upstreams.canary]
address = "{site.net}.242:{site.port}"
[[routes]]
name = "split"
prefix = "/split"
upstream = {{ stable = {stable}, canary = {canary} }}
hash_on = "header:X-Account"
[[routes]]
name = "calls"
prefix = "/calls"
upstream = {{ stable = {stable}, canary = {canary} }}
hash_on = "query:account"
upgrade = ["websocket"]
"""


@pytest.fixture(scope="module")
def running_edge() -> Iterator[Edge]:
    site = Site(pods=1)
    with running(site.toml(routes(site, 70, 30)).replace("[server]", "[server]\nworkers = 2"), site) as edge:
        yield edge


@pytest.fixture
async def edge(running_edge: Edge) -> AsyncIterator[Edge]:
    yield running_edge
    await weigh(running_edge, 70, 30)


async def weigh(edge: Edge, stable: int, canary: int) -> None:
    text = edge.site.toml(routes(edge.site, stable, canary)).replace("[server]", "[server]\nworkers = 2")
    assert (await edge.reload(text))["event"] == "reload"


async def versions(edge: Edge) -> dict[int, str]:
    """Where each account goes."""
    return {
        account: (await ask(edge.address, "GET", "/split", f"X-Account: {account}")).body.decode()
        for account in ACCOUNTS
    }


async def test_an_account_keeps_its_version_and_a_higher_weight_only_moves_accounts_there(
    edge: Edge, nursery: trio.Nursery
) -> None:
    for last, version in ((241, b"stable"), (242, b"canary")):
        await http_pod(nursery, f"{edge.site.net}.{last}", edge.site.port, ok(version))
    before = await versions(edge)
    assert set(before.values()) == {"stable", "canary"}
    assert await versions(edge) == before
    await weigh(edge, 40, 60)
    after = await versions(edge)
    moved = {account for account in ACCOUNTS if after[account] != before[account]}
    assert moved
    assert {after[account] for account in moved} == {"canary"}
    await weigh(edge, 0, 1)
    assert set((await versions(edge)).values()) == {"canary"}
    await edge.line("exchange", route="split", upstream="canary")


async def test_a_call_stays_where_it_began(edge: Edge, nursery: trio.Nursery) -> None:
    for last, version in ((241, b"stable"), (242, b"canary")):

        async def serve(wire: Wire, version: bytes = version) -> None:
            await wire.send(switching(await wire.head()))
            while await wire.some():
                await wire.send(version)

        await raw_pod(nursery, f"{edge.site.net}.{last}", edge.site.port, serve)

    async def version_of(wire: Wire) -> bytes:
        await wire.send(b"?")
        return await wire.exactly(6)

    await weigh(edge, 1, 0)
    async with tunnel(edge, "/calls?account=1") as old:
        assert await version_of(old) == b"stable"
        await weigh(edge, 0, 1)
        async with tunnel(edge, "/calls?account=1") as new:
            assert await version_of(new) == b"canary"
            assert await version_of(old) == b"stable"
