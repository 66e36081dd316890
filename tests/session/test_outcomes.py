"""What the session reports of endpoints to outlier detection: each error once, and nothing after an answer's head."""

from __future__ import annotations

from typing import cast

import pytest
import trio
from attrs import define, evolve, field

from splicer.errors import ConnectFailed, ConnectRefused, NoDescriptor, Side, SplicerError
from splicer.health import HealthCheck, OutlierDetection
from splicer.model import Endpoint, Upstream
from splicer.policy.endpoint_flags import EJECTED, Verdict
from splicer.relay.api import TunnelEnd
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.judged_names import JudgedNames
from splicer.upstream.outcomes import Outcomes
from splicer.upstream.source import NameSource
from tests.session.edge import APP, SPARE, SPARE_UPSTREAM, Edge, Script, Spliced, answering, playing, route, upstream
from tests.session.message import GET, OK, SWITCHING, UPGRADE, answer, read_answer
from tests.session.pods import resetting, silent
from tests.session.wire import End, Peer

ON = OutlierDetection()
JUDGED = upstream("app", balance="round-robin", outlier_detection=ON)
NAMED = upstream("pod", "{pod}.pods.test", outlier_detection=ON)
TWO, THREE = "10.0.1.2", "10.0.1.3"
BUSY = answering(answer(b"busy", "503 Busy"))


@define
class Told:
    """What was reported: an address and a reason, or "ok", or a name in use."""

    words: list[tuple[str, str]] = field(factory=list)

    def failed(self, upstream: Upstream, endpoint: Endpoint, reason: str) -> None:
        assert upstream.outlier_detection is not None
        self.words.append((endpoint.address, reason))

    def succeeded(self, endpoint: Endpoint) -> None:
        self.words.append((endpoint.address, "ok"))

    def used(self, upstream: Upstream, host: str, endpoint: Endpoint) -> None:
        self.words.append((endpoint.address, f"used {upstream.name} {host}"))


@pytest.fixture
def told(edge: Edge) -> Told:
    told = Told()
    outcomes: Outcomes = told
    edge.context.outcomes = outcomes
    edge.use(route(upstream=JUDGED, deadlines={"handshake": 1, "connect": 1}))
    return told


def nonsense() -> Script:
    return answering(b"SSH-2.0-OpenSSH\r\n", times=1, close=True)


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (answering(OK), "ok"),
        (answering(answer(b"no", "404 Not Found")), "ok"),
        (BUSY, "status"),
        (resetting, "pod_reset"),
        (answering(b"", times=1, close=True), "pod_closed"),
        (silent, "handshake_deadline"),
        (nonsense(), "bad_answer"),
        (ConnectRefused("x"), "connect_refused"),
        (ConnectFailed("x"), "connect_failed"),
        (None, "connect_deadline"),
    ],
)
async def test_what_an_attempt_counts_as(
    edge: Edge, told: Told, pod: Script | SplicerError | None, reason: str
) -> None:
    edge.pods[APP] = pod
    await read_answer(await edge.ask(GET))
    assert told.words == [(APP, reason)]


async def test_a_call_that_opens_is_a_success_and_a_101_that_fails_the_gate_is_an_error(edge: Edge, told: Told) -> None:
    edge.use(route(upstream=JUDGED, upgrade=("websocket",)))
    edge.pods[APP] = playing(answering(SWITCHING), answering(SWITCHING.replace(b"Accept", b"Except")))
    client = await edge.ask(UPGRADE)
    await read_answer(client)
    client.end.close()
    await edge.idle()
    assert told.words == [(APP, "ok")]
    await read_answer(await edge.ask(UPGRADE))
    assert told.words[1:] == [(APP, "bad_answer")]


# envoy#24690: there, each of these ends of a tunnel is an error.
@pytest.mark.parametrize("reason", ["eof", "reset", "idle", "half_closed", "timed_out", "lifetime"])
async def test_the_end_of_a_call_counts_as_nothing(edge: Edge, told: Told, reason: str) -> None:
    ends = [TunnelEnd(side, reason) for side in Side]

    async def over(call: Spliced) -> TunnelEnd:
        await cast("End", call.client).send_all(call.to_client)
        return ends.pop()

    edge.on_splice = over
    for _ in Side:
        edge.use(route(upstream=JUDGED, upgrade=("websocket",)))
        edge.pods[APP] = answering(SWITCHING)
        client = await edge.ask(UPGRADE)
        await read_answer(client)
        await edge.idle()
        client.end.close()
    assert told.words == [(APP, "ok")] * 3


async def test_a_body_that_breaks_off_counts_as_nothing(edge: Edge, told: Told) -> None:
    edge.pods[APP] = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", times=1, close=True)
    client = await edge.ask(GET)
    await edge.idle()
    client.end.close()
    assert told.words == [(APP, "ok")]


async def test_a_client_that_leaves_counts_as_nothing(edge: Edge, told: Told) -> None:
    edge.pods[APP] = silent
    client = await edge.ask(GET)
    await trio.sleep(0.1)
    client.end.reset()
    await edge.idle()
    assert told.words == []
    assert edge.record.attempts[0].failure == "client_gone"


async def test_the_end_of_the_time_for_all_attempts_counts_as_nothing(edge: Edge, told: Told) -> None:
    edge.use(route(upstream=JUDGED, deadlines={"attempts": 1, "handshake": 5, "connect": 5}))
    for pod in (silent, None):
        edge.pods[APP] = pod
        await read_answer(await edge.ask(GET))
    assert [record.attempts[0].failure for record in edge.told.ended] == ["attempts_deadline"] * 2
    assert told.words == []


async def test_no_descriptor_and_no_name_count_as_nothing(edge: Edge, told: Told) -> None:
    edge.pods[APP] = NoDescriptor("x")
    await read_answer(await edge.ask(GET))
    del edge.names.served["app.test"]
    await read_answer(await edge.ask(GET))
    assert told.words == []


async def test_an_idle_connection_that_the_pod_had_closed_counts_as_nothing(edge: Edge, told: Told) -> None:
    async def one(pod: Peer) -> None:
        await answering(OK, times=1)(pod)
        await closing.wait()
        pod.end.reset()

    closing = trio.Event()
    edge.pods[APP] = playing(one, answering(OK))
    await read_answer(await edge.ask(GET))
    await edge.idle()
    closing.set()
    await read_answer(await edge.ask(GET))
    assert told.words == [(APP, "ok")] * 2


async def test_each_address_that_refuses_within_one_attempt(edge: Edge, told: Told) -> None:
    edge.names.served["app.test"] = (APP, TWO, THREE)
    edge.pods |= {APP: ConnectRefused("x"), TWO: ConnectFailed("x"), THREE: answering(OK)}
    await read_answer(await edge.ask(GET))
    assert told.words == [(APP, "connect_refused"), (TWO, "connect_failed"), (THREE, "ok")]
    assert edge.record.attempts[0].failure is None, "it was one attempt, and it succeeded"


async def test_of_several_silent_addresses_only_the_first_had_its_whole_time(edge: Edge, told: Told) -> None:
    edge.names.served["app.test"] = (APP, TWO)
    edge.pods |= {APP: None, TWO: None}
    await read_answer(await edge.ask(GET))
    assert told.words == [(APP, "connect_deadline")]


async def test_a_silent_address_that_another_one_outruns_counts_as_nothing(edge: Edge, told: Told) -> None:
    edge.names.served["app.test"] = (APP, TWO)
    edge.pods |= {APP: None, TWO: answering(OK)}
    await read_answer(await edge.ask(GET))
    assert told.words == [(TWO, "ok")]


async def test_the_one_that_refuses_while_another_is_awaited(edge: Edge, told: Told) -> None:
    edge.names.served["app.test"] = (APP, TWO, THREE)
    edge.pods |= {APP: None, TWO: ConnectRefused("x"), THREE: answering(OK)}
    await read_answer(await edge.ask(GET))
    assert told.words == [(TWO, "connect_refused"), (THREE, "ok")]


async def test_a_status_that_leads_to_the_fallback_is_an_error_of_the_first(edge: Edge, told: Told) -> None:
    edge.use(route(upstream=JUDGED, fallback=SPARE_UPSTREAM))
    edge.pods |= {APP: BUSY, SPARE: answering(OK)}
    await read_answer(await edge.ask(GET))
    assert told.words == [(APP, "status")], "the fallback has no outlier detection"


async def test_a_status_of_the_route_that_is_no_error_of_the_upstream(edge: Edge, told: Told) -> None:
    patient = evolve(JUDGED, outlier_detection=evolve(ON, statuses=frozenset({502})))
    edge.use(route(upstream=patient, fallback=SPARE_UPSTREAM))
    edge.pods |= {APP: BUSY, SPARE: answering(OK)}
    await read_answer(await edge.ask(GET))
    assert told.words == [(APP, "ok")]


@pytest.mark.parametrize("key", ["outlier_detection", "health_check", None])
async def test_a_name_from_the_url_is_in_use(edge: Edge, told: Told, key: str | None) -> None:
    plain = upstream("pod", "{pod}.pods.test")
    judged = {"outlier_detection": NAMED, "health_check": evolve(plain, health_check=HealthCheck()), None: plain}[key]
    edge.use(route("regex", "^/(?<pod>[a-z0-9-]+)$", upstream=judged))
    edge.names.served["pod-1.pods.test"] = (APP,)
    edge.pods[APP] = answering(OK)
    await read_answer(await edge.ask(GET.replace(b"/x", b"/pod-1")))
    used = [(APP, "used pod pod-1.pods.test")] if key else []
    assert told.words == used + [(APP, "ok")] * (key == "outlier_detection")


async def test_an_upstream_without_the_key_reports_nothing(edge: Edge, told: Told) -> None:
    edge.use(route(fallback=SPARE_UPSTREAM))
    edge.pods |= {APP: ConnectRefused("x"), SPARE: BUSY}
    await read_answer(await edge.ask(GET))
    assert told.words == []


async def test_a_call_to_a_pod_that_is_ejected_waits_for_nothing(edge: Edge) -> None:
    verdicts = {(APP, 8000): Verdict(EJECTED, until=10.0)}
    edge.use(route("regex", "^/(?<pod>[a-z0-9-]+)$", upstream=NAMED, fallback=SPARE_UPSTREAM, upgrade=("websocket",)))
    names = JudgedNames(NameSource(edge.names), lambda: verdicts, lambda: 0.0)
    edge.context.rules = evolve(edge.context.rules, endpoints=Endpoints(names, edge.context.balancer))
    edge.names.served["pod-1.pods.test"] = (APP,)
    edge.pods |= {APP: None, SPARE: answering(SWITCHING)}
    began = trio.current_time()
    client = await edge.ask(UPGRADE.replace(b"/ws", b"/pod-1"))
    assert (await read_answer(client)).status == 101
    client.end.close()
    await edge.idle()
    [ejected, served] = edge.told.closed[0].attempts
    assert (ejected.failure, ejected.endpoint, ejected.pod) == ("pod_ejected", f"{APP}:8000", "pod-1")
    assert (ejected.connect, ejected.handshake, served.failure, served.started - began) == (0, 0, None, 0)
    assert edge.dialled == [SPARE]
