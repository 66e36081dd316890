"""Health checks of pods that speak TLS: they prove the same as for a call, and see our certificate."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.e2e.judged import becomes, call, discovery_pid, failures, judged_edge, there
from tests.e2e.operator import scrape, scrape_until
from tests.kit.pods import ok, switching
from tests.kit.site import Place
from tests.kit.tls import Certificates, TlsWire, server_context, tls_pids, tls_pod
from tests.kit.wire import until
from tests.kit.workers import kill_and_see

pytestmark = pytest.mark.slow
_OWN = "spiffe://cluster.local/ns/voice/pod/"
_CHECK = """
[upstreams.{upstream}.health_check]
path = "/health"
interval = "1s"
timeout = "{timeout}"
unhealthy_threshold = 2
healthy_threshold = 1
"""


class Agent:
    """A pod that takes calls, and says how it is."""

    def __init__(self) -> None:
        self.status = b"200 OK"
        self.checks = self.calls = 0

    async def handle(self, wire: TlsWire) -> None:
        head = await wire.head()
        if head.startswith(b"GET /health "):
            self.checks += 1
            await wire.send(ok(b"", status=self.status))
            return
        self.calls += 1
        await wire.send(switching(head))
        await wire.some()

    async def start(self, nursery: trio.Nursery, place: Place, own: Path, ca: Path | None) -> None:
        await tls_pod(nursery, place.address, place.port, server_context(own, ca), self.handle)


def keys(certificates: Certificates, upstream: str, names: str, timeout: str = "900ms") -> str:
    """Of an upstream whose pods want a certificate."""
    ours = certificates.folder("ours", "edge-client")
    tls = f'tls = {{ ca = "{certificates.ca}", certificate = "{ours}", names = ["{names}"] }}'
    return tls + _CHECK.format(upstream=upstream, timeout=timeout)


async def test_who_is_not_who_it_should_be_is_unhealthy(tmp_path: Path, nursery: trio.Nursery) -> None:
    certificates = Certificates(tmp_path)
    (tmp_path / "others").mkdir()
    strangers = Certificates(tmp_path / "others")
    with judged_edge(group=keys(certificates, "group", "{host}"), members=4) as (edge, places):
        agents = [Agent() for _ in places]
        folders = (
            certificates.folder("well", "group.test"),
            certificates.folder("another", "another.test"),
            strangers.folder("stranger", "group.test"),
            certificates.folder("ill", "group.test"),
        )
        agents[3].status = b"503 Unavailable"
        for agent, place, folder in zip(agents, places, folders, strict=True):
            await agent.start(nursery, place, folder, certificates.ca)
        await there(edge)
        lines = await edge.wait_lines(3, "endpoint_unhealthy")
        assert {line["endpoint"]: line["failure"] for line in lines} == {
            places[1].endpoint: "tls_name_mismatch",
            places[2].endpoint: "tls_untrusted",
            places[3].endpoint: "status",
        }
        await until(lambda: agents[0].checks > 1)  # it has seen our certificate
        assert [agent.checks > 0 for agent in agents] == [True, False, False, True]
        agents[3].status = b"200 OK"
        await edge.line("endpoint_healthy", endpoint=places[3].endpoint)
        assert (await scrape(edge)).total("health_checks_total", upstream="group", outcome="tls_untrusted") > 0


async def test_a_named_pod_has_its_own_name(tmp_path: Path, nursery: trio.Nursery) -> None:
    """It is checked by what its calls must prove; and processes that die in between say nothing of it."""
    certificates = Certificates(tmp_path)
    with judged_edge(keys(certificates, "judged", f"{_OWN}{{pod}}")) as (edge, _):
        place, agent = edge.site.take(), Agent()
        await agent.start(nursery, place, certificates.by_uri("own", f"{_OWN}{place.name}"), certificates.ca)
        discovery = await there(edge)
        assert (await call(edge, f"/alone/{place.name}")).status == 101
        await until(lambda: agent.checks)
        [process] = tls_pids(edge)
        await kill_and_see(process)
        await edge.expected(1, "tls_died", pid=process)
        checks = agent.checks
        await until(lambda: agent.checks > checks + 1)
        await kill_and_see(discovery)
        await edge.expected(1, "discovery_died", pid=discovery)
        await until(lambda: discovery_pid(edge) not in (0, discovery))
        checks = agent.checks
        assert (await call(edge, f"/alone/{place.name}")).status == 101
        await until(lambda: agent.checks > checks + 1)
        assert not edge.find("endpoint_unhealthy")
        agent.status = b"503 Unavailable"
        await becomes(edge, 1, "endpoints", upstream="judged", state="unhealthy")
        calls = agent.calls
        edge.mark()
        await call(edge, f"/call/{place.name}")
        assert failures(await edge.line("exchange"))[0] == "pod_unhealthy"
        assert agent.calls == calls


async def test_without_a_tls_process_nothing_is_said_of_a_pod(tmp_path: Path, nursery: trio.Nursery) -> None:
    certificates = Certificates(tmp_path)
    with judged_edge(group=keys(certificates, "group", "{host}", "200ms"), members=1) as (edge, [place]):
        agent = Agent()
        await agent.start(nursery, place, certificates.folder("well", "group.test"), certificates.ca)
        await until(lambda: agent.checks)
        (tmp_path / "ca.pem").rename(tmp_path / "gone")  # so that no other can be started
        [process] = tls_pids(edge)
        await kill_and_see(process)
        await edge.expected(1, "tls_died", pid=process)

        await scrape_until(
            edge, lambda now: now.total("health_checks_total", upstream="group", outcome="tls_no_process") > 2
        )
        assert not edge.find("endpoint_unhealthy")
        (tmp_path / "gone").rename(tmp_path / "ca.pem")
        checks = agent.checks
        await until(lambda: agent.checks > checks)
        assert not edge.find("endpoint_unhealthy")
