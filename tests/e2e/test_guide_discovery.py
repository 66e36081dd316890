"""The repository's own routing.toml in a cluster whose API server knows the pods, and whose name server none."""

from __future__ import annotations

import pytest
import trio

from tests.e2e.guide import HOST, Cluster, guide_edge
from tests.kit.apiserver import Pod, api_server
from tests.kit.calls import call
from tests.kit.dns_server import DnsServer
from tests.kit.site import Site
from tests.kit.wire import ask

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
        for service in ("smart-router", "voice-agent"):
            await edge.line("endpoints_changed", service=f"voice-system/{service}:{site.port}")
        assert (await ask(edge.address, "GET", "/api/v1/status", host=HOST)).status == 200
        async with call(edge, "/ws/pod/voice-agent-0/x", host=HOST):
            pass
        # A pod that nobody knows is replaced at once; when it comes, it is known at once.
        async with call(edge, "/ws/pod/voice-agent-1/x", host=HOST):
            pass
        api.sync("voice-agent", [_agent(site, 0), _agent(site, 1)], ports, namespace="voice-system")
        await edge.line("endpoints_changed", service=f"voice-system/voice-agent:{site.port}", ready=2)
        async with call(edge, "/ws/pod/voice-agent-1/x", host=HOST):
            pass
        opened = await edge.wait_lines(3, "tunnel_open")
        failures = [[attempt["failure"] for attempt in line["attempts"]] for line in opened]
        assert failures == [[None], ["pod_unknown", None], [None]]
        assert [line["pod"] for line in opened] == ["voice-agent-0", "voice-agent-0", "voice-agent-1"]


def _agent(site: Site, number: int) -> Pod:
    return Pod(f"voice-agent-{number}", f"{site.net}.{10 + number}")
