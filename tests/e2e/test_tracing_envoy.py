"""A real Envoy before and behind the edge: all three are one trace at one collector."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.kit.calls import handshake
from tests.kit.edge import running
from tests.kit.envoy import ENVOY, NO_ENVOY, TYPE, answering, cluster, envoy
from tests.kit.fleet import echoes, several
from tests.kit.otlp import CLIENT, INTERNAL, SERVER, Received, collector
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import Site, free_port
from tests.kit.wire import ask, dial

pytestmark = pytest.mark.slow


def listener(service: str, address: str, port: int, to: str, receiver: int) -> dict[str, Any]:
    """One Envoy's listener, which traces every request, and the request to its cluster."""
    exporter = {
        "@type": f"{TYPE}.config.trace.v3.OpenTelemetryConfig",
        "service_name": service,
        "http_service": {
            "http_uri": {"uri": f"http://127.0.0.1:{receiver}/v1/traces", "cluster": "receiver", "timeout": "5s"}
        },
    }
    manager = {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": service,
        "codec_type": "HTTP1",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "tracing": {
            "spawn_upstream_span": True,
            "random_sampling": {"value": 100},
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": exporter},
        },
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": to}}]}
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": service,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


@pytest.mark.skipif(ENVOY is None, reason=NO_ENVOY)
async def test_an_envoy_before_and_one_behind_are_in_the_edge_s_trace(nursery: trio.Nursery) -> None:
    site = Site(pods=2)
    place, calls = site.take(), site.take()  # an Envoy listens at both, and leads to the real pods
    behind = free_port()
    await http_pod(nursery, "127.0.0.1", behind)
    pod = await tunnel_pod(nursery, "127.0.0.1", (further := free_port()))
    with collector() as receiver:
        port = int(receiver.url.rpartition(":")[2].partition("/")[0])
        tracing = f'[tracing]\nendpoint = "{receiver.url}"\ntrust = "anyone"\nsample = 0\n'
        with running(several(site, 1, extra=tracing), site) as edge:
            front = ("127.0.0.1", free_port())
            listeners = [
                listener("front", *front, "edge", port),
                listener("back", place.address, place.port, "pod", port),
                listener("calls", calls.address, calls.port, "calls", port),
            ]
            clusters = [
                cluster("edge", *edge.address),
                cluster("pod", "127.0.0.1", behind),
                cluster("calls", "127.0.0.1", further),
                cluster("receiver", "127.0.0.1", port),
            ]
            with envoy(listeners, clusters):
                for address in (front, (place.address, place.port), (calls.address, calls.port)):
                    await answering(address)
                await _plain(receiver_spans := receiver.spans, front, f"/http/{place.name}/x")
                async with dial(front) as client:
                    await client.send(handshake(f"/ws/{calls.name}/x"))
                    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
                    await echoes(client, b"x" * 1000)
                    [server] = await receiver_spans(1, kind=SERVER, url__path=f"/ws/{calls.name}/x")
                    [attempt] = await receiver_spans(1, kind=CLIENT, parent=server.span_id)
                    [told] = pod.seen[0].values("traceparent")
                    assert told.decode().split("-")[1] == server.trace_id
                [back] = await receiver_spans(1, parent=attempt.span_id)
                assert back.resource["service.name"] == "calls"
                [call] = await receiver_spans(1, kind=INTERNAL)
                assert call.links == [(server.trace_id, server.span_id)]
                await _led_to_by_envoy(receiver_spans, server)


async def _plain(spans: Any, front: tuple[str, int], path: str) -> None:
    assert (await ask(front, "GET", path)).status == 200
    [server] = await spans(1, kind=SERVER, url__path=path)
    [attempt] = await spans(1, kind=CLIENT, parent=server.span_id)
    [back] = await spans(1, parent=attempt.span_id)
    assert back.resource["service.name"] == "back"
    assert back.trace_id == attempt.trace_id == server.trace_id
    await _led_to_by_envoy(spans, server)


async def _led_to_by_envoy(spans: Any, server: Received) -> None:
    [upstream] = await spans(1, span_id=server.parent)
    assert upstream.resource["service.name"] == "front"
    assert upstream.trace_id == server.trace_id
    assert upstream.parent, "Envoy's own request is above it"
