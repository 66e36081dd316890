"""Requests to pods that discovery knows: who is dialled, who is refused at once, and what the fallback is told."""

from __future__ import annotations

import pytest
from attrs import evolve

from splicer.errors import ConnectRefused
from splicer.health import OutlierDetection
from splicer.model import Route, Service, Upstream
from splicer.policy.endpoint_flags import EJECTED, READY, SERVING, TERMINATING, Verdict
from splicer.routing.template import parse_template
from splicer.session.context import Drains
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.snapshot_source import SnapshotSource
from splicer.upstream.source import NameSource
from tests.kit.http import Message, read_request
from tests.session.edge import APP, SPARE, Edge, Script, answering, route
from tests.session.message import GET, OK, SWITCHING, UPGRADE, answer, read_answer
from tests.session.wire import Peer
from tests.upstream.snapshots import Snapshot, found, row

KEY, HOST = "voice/agent:8000", "agent.voice.svc"
OTHER = "10.0.0.9"
ANY = Upstream("any", parse_template(HOST), 8000, service=Service("voice", "agent", 8000))
POD = Upstream("pod", parse_template("agent-0." + HOST), 8000, service=Service("voice", "agent", 8000, of_pod=True))
ENDING = SERVING | TERMINATING


def serve(edge: Edge, snapshot: Snapshot, *routes: Route) -> None:
    """By these routes, with this snapshot above the names."""
    edge.use(*routes)
    source = SnapshotSource(NameSource(edge.names), snapshot.reader, clock=lambda: 1000.0)
    endpoints = Endpoints(source, edge.context.balancer)
    edge.context.rules = evolve(edge.context.rules, endpoints=endpoints)


def call_route(upstream: Upstream = POD, fallback: Upstream | None = ANY) -> Route:
    return route(upstream=upstream, fallback=fallback, upgrade=("websocket",))


def noting(requests: list[Message], raw: bytes) -> Script:
    async def script(pod: Peer) -> None:
        requests.append(await read_request(pod))
        await pod.send(raw)

    return script


@pytest.fixture
def snapshot() -> Snapshot:
    return Snapshot()


@pytest.mark.parametrize("flags", [READY | SERVING, ENDING])
async def test_a_call_goes_to_the_pod_that_it_names_as_long_as_that_serves(
    edge: Edge, snapshot: Snapshot, flags: int
) -> None:
    snapshot.publish({KEY: found(row("agent-0", APP, flags), row("agent-1", OTHER))})
    serve(edge, snapshot, call_route())
    edge.pods[APP] = answering(SWITCHING)
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101
    assert (edge.dialled, edge.names.asked) == ([APP], [])


@pytest.mark.parametrize(
    ("rows", "reason", "endpoint"),
    [
        ([row("agent-1", OTHER)], "pod_unknown", None),
        ([row("agent-0", APP, TERMINATING), row("agent-1", OTHER)], "pod_not_ready", f"{APP}:8000"),
    ],
)
async def test_a_call_to_a_pod_of_no_use_goes_to_the_fallback_at_once(
    edge: Edge, snapshot: Snapshot, rows: list[object], reason: str, endpoint: str | None
) -> None:
    snapshot.publish({KEY: found(*rows)})  # type: ignore[arg-type]  # the parameters' type
    serve(edge, snapshot, call_route())
    requests: list[Message] = []
    edge.pods[OTHER] = noting(requests, SWITCHING)
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101
    assert (edge.dialled, edge.names.asked) == ([OTHER], [])
    [request] = requests
    assert request.get("X-Splicer-Fallback-From") == "agent-0"
    first, second = edge.told.opened[0].attempts
    assert (first.failure, first.endpoint, first.connect, first.resolve) == (reason, endpoint, 0, 0)
    assert (second.failure, second.pod) == (None, "agent-1")


async def test_without_a_fallback_the_client_hears_why(edge: Edge, snapshot: Snapshot) -> None:
    snapshot.publish({KEY: found(row("agent-1", OTHER))})
    serve(edge, snapshot, call_route(fallback=None))
    assert (await read_answer(await edge.ask(UPGRADE))).status == 503
    assert edge.record.close_reason == "pod_unknown"
    assert (edge.dialled, edge.names.asked) == ([], [])


async def test_plain_requests_go_to_a_pod_in_any_state(edge: Edge, snapshot: Snapshot) -> None:
    snapshot.publish({KEY: found(row("agent-0", APP, TERMINATING), row("agent-1", OTHER))})
    serve(edge, snapshot, route(upstream=POD, fallback=ANY))
    edge.pods[APP] = answering(OK)
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert edge.dialled == [APP]


async def test_an_ejected_pod_is_dialled_only_if_there_is_nothing_better(edge: Edge, snapshot: Snapshot) -> None:
    agents = found(row("agent-0", APP), row("agent-1", OTHER))
    snapshot.publish({KEY: agents}, {(APP, 8000): Verdict(EJECTED, until=1001.0)})
    judged = evolve(POD, outlier_detection=OutlierDetection())
    edge.pods |= {APP: answering(SWITCHING), OTHER: answering(SWITCHING)}
    serve(edge, snapshot, call_route(judged, evolve(ANY, outlier_detection=OutlierDetection())))
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101
    assert edge.dialled == [OTHER]
    assert edge.told.opened[0].attempts[0].failure == "pod_ejected"
    serve(edge, snapshot, call_route(judged, fallback=None))
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101
    assert edge.dialled == [OTHER, APP]


async def test_the_fallback_is_told_which_pod_of_several_has_failed(edge: Edge, snapshot: Snapshot) -> None:
    snapshot.publish({KEY: found(row("agent-0", APP))})
    spare = Upstream("spare", parse_template("spare.test"), 8000)
    serve(edge, snapshot, call_route(ANY, spare))
    requests: list[Message] = []
    edge.pods |= {APP: answering(answer(b"", "503 Full")), SPARE: noting(requests, SWITCHING)}
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101
    [request] = requests
    assert request.get("X-Splicer-Fallback-From") == "agent-0"


async def test_after_a_failed_connect_a_pod_of_a_lost_api_server_is_looked_up(edge: Edge, snapshot: Snapshot) -> None:
    edge.names.served["agent-0." + HOST] = (OTHER,)
    edge.pods |= {APP: ConnectRefused("gone"), OTHER: answering(SWITCHING)}
    for synced, status in ((False, 101), (True, 502)):
        snapshot.publish({KEY: found(row("agent-0", APP), synced=synced)})
        serve(edge, snapshot, call_route(fallback=None))
        edge.names.asked.clear()
        assert (await read_answer(await edge.ask(UPGRADE))).status == status
        assert bool(edge.names.asked) is not synced


async def test_a_drained_pod_gets_no_call_whatever_leads_to_it(edge: Edge, snapshot: Snapshot) -> None:
    snapshot.publish({KEY: found(row("agent-0", APP), row("agent-1", OTHER))})
    serve(edge, snapshot, call_route())
    edge.context.drains = Drains(frozenset({"agent-0"}), endpoints=frozenset({(APP, 8000)}))
    edge.pods[OTHER] = answering(SWITCHING)
    for _ in range(3):
        assert (await read_answer(await edge.ask(UPGRADE))).status == 101
    assert edge.dialled == [OTHER] * 3
    assert edge.told.opened[0].attempts[0].failure == "pod_draining"


async def test_a_pod_behind_a_named_port_is_told_its_number(edge: Edge, snapshot: Snapshot) -> None:
    named = Upstream("named", parse_template(HOST), 0, service=Service("voice", "agent", "http"))
    snapshot.publish({"voice/agent:http": found(row("agent-0", APP, port=9000))})
    serve(edge, snapshot, route(upstream=named))
    requests: list[Message] = []
    edge.pods[APP] = noting(requests, OK)
    await read_answer(await edge.ask(b"GET /x HTTP/1.0\r\n\r\n"))
    [request] = requests
    assert request.get("Host") == f"{HOST}:9000"
    await edge.idle()
    assert edge.record.target == f"{HOST}:http/x"
    assert str(edge.record.endpoint) == f"{APP}:9000"
