"""The repository's own routing.toml in a cluster whose API server knows the pods, and whose name server none."""

from __future__ import annotations

import pytest
import trio

from tests.e2e.guide import HOST, Cluster, guide_edge
from tests.kit.apiserver import Pod, api_server
from tests.kit.calls import call, handshake
from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge
from tests.kit.site import Site
from tests.kit.wire import TIMEOUT, ask, dial

pytestmark = pytest.mark.slow


async def test_pods_are_found_by_the_cluster_alone(nursery: trio.Nursery) -> None:
    with api_server() as api, guide_edge(api) as edge:
        site, ports = edge.site, {"http": edge.site.port}
        cluster = Cluster(site, nursery, await DnsServer.start(nursery, f"{site.net}.250", site.port))
        await cluster.router()
        for number in range(2):
            await cluster.agent_calls(number)
        router = Pod("smart-router-7d9c-x2x4z", f"{site.net}.200", hostname=False)
        api.sync("smart-router", [router], ports, namespace="voice-system")
        api.sync("voice-agent", [_agent(site, 0)], ports, namespace="voice-system")
        await _until_found(edge, 0)
        assert (await ask(edge.address, "GET", "/api/v1/status", host=HOST)).status == 200
        # A pod that nobody knows is replaced at once; when it comes, it is known at once.
        async with call(edge, "/ws/pod/voice-agent-1/x", host=HOST):
            pass
        opened = await edge.line("tunnel_open", path="/ws/pod/voice-agent-1/x")
        assert [attempt["failure"] for attempt in opened["attempts"]] == ["pod_unknown", None]
        assert opened["pod"] == "voice-agent-0"
        api.sync("voice-agent", [_agent(site, 0), _agent(site, 1)], ports, namespace="voice-system")
        await _until_found(edge, 1)


async def _until_found(edge: Edge, number: int) -> None:
    """Call a pod until a call is its own."""
    path = f"/ws/pod/voice-agent-{number}/x"
    with trio.fail_after(TIMEOUT):
        while not edge.find("tunnel_open", path=path, pod=f"voice-agent-{number}"):
            async with dial(edge.address) as wire:
                await wire.send(handshake(path, host=HOST))
                await wire.head()
            await trio.sleep(0.02)


def _agent(site: Site, number: int) -> Pod:
    return Pod(f"voice-agent-{number}", f"{site.net}.{10 + number}")
