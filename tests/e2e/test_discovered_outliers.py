"""Outlier detection and health checks of pods that Kubernetes knows."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.e2e.discovered import Cluster, discovering, pod, start_dns
from tests.e2e.judged import call, failures
from tests.e2e.operator import see_until
from tests.kit.pods import raw_pod, tunnel_pod
from tests.kit.wire import Wire, until

pytestmark = pytest.mark.slow

JUDGED = "outlier_detection = { consecutive_errors = 2, base_ejection_time = '5m' }\n"
CHECKED = "health_check = { path = '/health', interval = '1s', timeout = '1s', unhealthy_threshold = 1 }\n"


async def with_keys(cluster: Cluster, keys: str) -> None:
    """The upstreams have these keys from now on."""
    text = cluster.edge.path.read_text()
    line = await cluster.edge.reload(text.replace('discovery = "kubernetes"\n', f'discovery = "kubernetes"\n{keys}'))
    assert line["event"] == "reload"


async def sees(cluster: Cluster, name: str, **fields: Any) -> None:
    """Wait until all upstreams say this of a pod."""

    def look(said: Any) -> bool:
        rows = [row for each in said["upstreams"] for row in each["endpoints"] if row["pod"] == name]
        rows = [row for row in rows if row["source"] == "kubernetes"]
        return len(rows) == 3 and all(row.items() >= fields.items() for row in rows)

    await see_until(cluster.edge, "/upstreams", look)


async def test_what_one_upstream_has_learned_all_know_and_a_pod_that_turns_ready_begins_anew(
    nursery: trio.Nursery,
) -> None:
    with discovering() as cluster:
        await start_dns(cluster, nursery)
        one, other = cluster.edge.site.take(), cluster.edge.site.take()
        staying = await tunnel_pod(nursery, other.address, cluster.port)
        await cluster.settle(pod(one), pod(other))
        await with_keys(cluster, JUDGED)
        for _ in range(2):
            assert (await call(cluster.edge, f"/kf/{one.name}/x")).status == 101
        await cluster.edge.line("endpoint_ejected", upstream="k-pod", pod=one.name, endpoint=one.endpoint)
        await sees(cluster, one.name, state="ejected")
        pods = await tunnel_pod(nursery, one.address, cluster.port)
        cluster.edge.mark()
        assert (await call(cluster.edge, f"/kf/{one.name}/x")).status == 101
        assert failures(await cluster.edge.line("tunnel_close")) == ["pod_ejected", None]
        assert staying.seen[-1].values("X-Splicer-Fallback-From") == [one.name.encode()]
        for _ in range(4):
            assert (await call(cluster.edge, "/any/x")).status == 101
        assert pods.connections == 0, "no upstream sends it a call"
        cluster.sync(pod(one, ready=False), pod(other))
        await sees(cluster, one.name, ready=False)
        cluster.sync(pod(one), pod(other))
        await sees(cluster, one.name, ready=True, ejected_for_s=None)
        await cluster.edge.line("endpoint_returned", endpoint=one.endpoint)
        assert (await call(cluster.edge, f"/kf/{one.name}/x")).status == 101
        await until(lambda: pods.connections == 1)


async def test_each_pod_is_checked_by_its_own_name_ready_or_not(nursery: trio.Nursery) -> None:
    hosts: list[bytes] = []

    async def answer(wire: Wire) -> None:
        request = await wire.request()
        hosts.append(request.values("Host")[0])
        await wire.send(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n")

    with discovering() as cluster:
        await start_dns(cluster, nursery)
        one, other = cluster.edge.site.take(), cluster.edge.site.take()
        for place in (one, other):
            await raw_pod(nursery, place.address, cluster.port, answer)
        await cluster.settle(pod(one), pod(other, ready=False))
        await with_keys(cluster, CHECKED)
        for place in (one, other):
            await sees(cluster, place.name, state="unhealthy", health="unhealthy")
        domain = f"voice-agent.voice.svc.test:{cluster.port}"
        assert {f"{place.name}.{domain}".encode() for place in (one, other)} <= set(hosts)
