"""Pods that discovery has just found: how many calls they get, and how soon they relieve those that are full."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack

import pytest
import trio

from tests.e2e.discovered import Cluster, config, pod
from tests.kit.apiserver import api_server
from tests.kit.calls import handshake, tunnel
from tests.kit.edge import running
from tests.kit.pods import Pod, patient_echo, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import TIMEOUT, dial

pytestmark = pytest.mark.slow

LIMIT = 15


async def test_who_is_new_and_who_has_room(nursery: trio.Nursery) -> None:
    site = Site()
    old, busy, new, last = (site.take() for _ in range(4))

    async def served(place: Place) -> Pod:
        return await tunnel_pod(nursery, place.address, site.port, patient_echo)

    async with AsyncExitStack() as stack:
        api = stack.enter_context(api_server())
        text = config(site, api, workers=2)
        keys = f'[upstreams.k-any]\nslow_start = "1h"\nmax_tunnels = {LIMIT}\n'
        api.sync("voice-agent", (pod(old), pod(busy)), {"ws": site.port})
        edge = stack.enter_context(running(text.replace("[upstreams.k-any]\n", keys), site))
        cluster = Cluster(edge, api)
        await cluster.settle(pod(old), pod(busy))

        async def calls(target: str, count: int) -> None:
            for _ in range(count):
                await stack.enter_async_context(tunnel(edge, target))

        at_old, at_busy, at_new = await served(old), await served(busy), await served(new)
        await calls(f"/k/{busy.name}/x", 10)
        await trio.sleep(0.2)  # until both workers know of them
        await calls("/any/x", 10)
        assert (at_busy.connections, at_old.connections) == (10, 10), "nobody is new who was there from the start"

        await cluster.settle(pod(old), pod(busy), pod(new))
        await trio.sleep(0.2)
        await calls("/any/x", 9)
        assert at_new.connections <= 5, "without slow_start it would get all of them"
        assert at_old.connections + at_busy.connections + at_new.connections == 29

        await calls("/any/x", 3 * LIMIT - 29)
        assert {each.connections for each in (at_old, at_busy, at_new)} == {LIMIT}
        assert (await cluster.refused("/any/x")).status == 503
        [line] = await edge.wait_lines(1, "exchange", route="any", reason="endpoint_full")
        assert line["detail"] == f"each of 3 endpoints has {LIMIT} tunnels, the max_tunnels of upstream k-any"

        command = [sys.executable, "-m", "splicer", "upstreams", "-c", str(edge.path)]
        shown = (await trio.run_process(command, capture_stdout=True)).stdout.decode().splitlines()
        rows = [dict(zip(shown[0].split(), line.split(), strict=True)) for line in shown if line.startswith("k-any ")]
        assert [(row["pod"], row["source"], row["state"], row["calls"], row["limit"]) for row in rows] == [
            (place.name, "kubernetes", "up", str(LIMIT), str(LIMIT)) for place in (old, busy, new)
        ]

        at_last = await served(last)
        cluster.sync(pod(old), pod(busy), pod(new), pod(last))
        with trio.fail_after(TIMEOUT):
            while not at_last.connections:
                async with dial(edge.address) as wire:
                    await wire.send(handshake("/any/x"))
                    await wire.head()
