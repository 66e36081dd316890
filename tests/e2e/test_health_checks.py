"""Active health checks in whole edges."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from tests.e2e.dnsedge import start_dns
from tests.e2e.judged import becomes, call, discovery_pid, failures, judged_edge, there
from tests.e2e.operator import scrape
from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge
from tests.kit.http import Message
from tests.kit.pods import Pod, http_pod, ok, raw_pod, switching
from tests.kit.site import Place
from tests.kit.wire import Wire, ask, until
from tests.kit.workers import kill_and_see

pytestmark = pytest.mark.slow

_TIMES = 'interval = "1s", timeout = "500ms", unhealthy_threshold = 2, healthy_threshold = 1'
CHECK = f'health_check = {{ path = "/health", {_TIMES} }}'
UNAVAILABLE = ok(b"", status=b"503 Unavailable")


class Agent:
    """A pod that takes calls, and says how it is when it is asked at /health."""

    def __init__(self) -> None:
        self.answer: bytes | None = ok(b"healthy")  # None: it accepts, and never answers
        self.calls = 0
        self.checks: list[Message] = []

    async def handle(self, wire: Wire) -> None:
        head = await wire.head()
        message = Message(head)
        if message.line.startswith("GET /health "):
            self.checks.append(message)
            if self.answer is None:
                await trio.sleep_forever()
            await wire.send(self.answer or b"")
            return
        self.calls += 1
        if message.values("Upgrade"):
            await wire.send(switching(head))
            await wire.some()
        else:
            await wire.send(ok(wire.stream.socket.getsockname()[0].encode()))

    async def start(self, nursery: trio.Nursery, place: Place) -> Pod:
        return await raw_pod(nursery, place.address, place.port, self.handle)


async def served(edge: Edge, times: int = 12) -> Counter[str]:
    """Who answers so many requests."""
    return Counter([(await ask(edge.address, "GET", "/group")).body.decode() for _ in range(times)])


async def test_unhealthy_endpoints_come_last_and_return(nursery: trio.Nursery) -> None:
    with judged_edge(group=CHECK, members=4) as (edge, places):
        agents = [Agent() for _ in places]
        for agent, place in zip(agents, places, strict=True):
            await agent.start(nursery, place)
        await there(edge)
        await until(lambda: all(agent.checks for agent in agents))
        assert set(await served(edge)) == {place.address for place in places}
        request = agents[0].checks[0]
        assert request.values("Host") == [f"group.test:{edge.site.port}".encode()]
        assert request.values("User-Agent")[0].startswith(b"splicer-health/")
        agents[0].answer, agents[1].answer = None, UNAVAILABLE
        await becomes(edge, 2, "endpoints", upstream="group", state="unhealthy")
        lines = await edge.wait_lines(2, "endpoint_unhealthy")
        assert {line["failure"]: line["endpoint"] for line in lines} == {
            "deadline": places[0].endpoint,
            "status": places[1].endpoint,
        }
        assert {line["after"] for line in lines} == {2}
        assert set(await served(edge)) == {place.address for place in places[2:]}
        agents[0].answer = ok(b"healthy")
        await edge.line("endpoint_healthy", endpoint=places[0].endpoint)
        await becomes(edge, 1, "endpoints", upstream="group", state="unhealthy")
        assert set(await served(edge)) == {places[index].address for index in (0, 2, 3)}
        agents[2].answer = agents[3].answer = UNAVAILABLE
        await becomes(edge, 3, "endpoints", upstream="group", state="unhealthy")
        assert set(await served(edge)) == {place.address for place in places}, "with one of four left, all are tried"
        now = await scrape(edge)
        for outcome in ("ok", "status", "deadline"):
            assert now.total("health_checks_total", upstream="group", outcome=outcome) > 1
        assert now.total("health_check_duration_seconds_count", upstream="group") > 10


async def test_a_named_pod_that_is_unhealthy_gets_no_call_if_there_is_a_fallback(nursery: trio.Nursery) -> None:
    with judged_edge(CHECK) as (edge, _):
        place, agent, spare = edge.site.take(), Agent(), Agent()
        await agent.start(nursery, place)
        await raw_pod(nursery, f"{edge.site.net}.241", edge.site.port, spare.handle)
        await there(edge)
        await trio.sleep(2.0)
        assert not agent.checks, "nobody has used its name"
        assert (await call(edge, f"/call/{place.name}")).status == 101
        await until(lambda: agent.checks)
        host = f"{place.name}.pods.test:{edge.site.port}"
        assert agent.checks[0].values("Host") == [host.encode()]
        agent.answer = UNAVAILABLE
        await becomes(edge, 1, "endpoints", upstream="judged", state="unhealthy")
        calls = agent.calls
        edge.mark()
        assert (await call(edge, f"/call/{place.name}")).status == 101
        assert failures(await edge.line("tunnel_close")) == ["pod_unhealthy", None]
        assert (agent.calls, spare.calls) == (calls, 1)
        assert (await call(edge, f"/alone/{place.name}")).status == 101
        assert agent.calls == calls + 1, "without a fallback it is tried"


async def test_verdicts_outlive_the_process_that_reached_them(nursery: trio.Nursery) -> None:
    with judged_edge(group=CHECK, members=2) as (edge, places):
        agents = [Agent() for _ in places]
        agents[0].answer = UNAVAILABLE
        for agent, place in zip(agents, places, strict=True):
            await agent.start(nursery, place)
        first = await there(edge)
        await becomes(edge, 1, "endpoints", upstream="group", state="unhealthy")
        await kill_and_see(first)
        assert set(await served(edge)) == {places[1].address}
        await edge.expected(1, "discovery_died", pid=first)
        await until(lambda: discovery_pid(edge) not in (0, first))
        edge.mark()
        checks = len(agents[0].checks)
        await until(lambda: len(agents[0].checks) > checks)
        assert set(await served(edge)) == {places[1].address}
        assert not edge.find("endpoint_unhealthy"), "it is no news"
        agents[0].answer = ok(b"healthy")
        await edge.line("endpoint_healthy", endpoint=places[0].endpoint)


async def test_a_check_never_goes_where_no_call_may(nursery: trio.Nursery) -> None:
    check = 'health_check = "tcp"'
    with judged_edge(check, deadlines='resolve = "1s"') as (edge, _):
        text = edge.path.read_text()
        server = (
            f'[resolver]\nnameservers = ["{edge.site.net}.250:{edge.site.port}"]\nmax_ttl = "500ms"\n[resolver.hosts]'
        )
        text = text.replace("[resolver]\n[resolver.hosts]", server).replace("group.test:", "checked.test:")
        text = text.replace(
            'allow = ["127.0.0.0/8"]\n\n[upstreams.spare]', f'allow = ["127.0.0.0/8"]\n{check}\n[upstreams.spare]'
        )
        assert server in text
        assert "checked.test" in text
        dns: DnsServer = await start_dns(edge, nursery)
        place, outside = edge.site.take(), edge.site.take()
        dns.set("checked.test", place.address, "169.254.169.254", "10.255.255.1")
        pod = await http_pod(nursery, place.address, place.port)
        other = await http_pod(nursery, outside.address, outside.port)
        await edge.reload(text)
        await until(lambda: pod.connections > 0)
        now = await scrape(edge)
        assert now.total("health_checks_total", upstream="group") == now.total("health_checks_total", outcome="ok")
        assert not edge.find("endpoint_unhealthy")
        dns.set("checked.test", place.address, outside.address)
        await until(lambda: other.connections > 0)
