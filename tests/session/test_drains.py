"""What an operator wants to become empty gets nothing new: a pod (but for plain HTTP that names it), a route."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from splicer.errors import ConnectRefused
from splicer.model import Route, Upstream
from splicer.record import AttemptOutcome
from splicer.session.context import Drains
from tests.kit.http import Message, read_request
from tests.session.edge import CLIENT, Edge, Script, answering, route, upstream
from tests.session.message import OK, SWITCHING, UPGRADE, read_answer
from tests.session.wire import Peer

ONE, TWO = "10.0.0.11", "10.0.0.12"
POD = upstream("pod", "{pod}.pods.test")
SHARED = upstream("shared", "pods.test", balance="round-robin")
POD_1 = Drains(frozenset({"pod-1"}), endpoints=frozenset({(ONE, 8000)}))
BOTH = Drains(frozenset({"pod-1", "pod-2"}), endpoints=frozenset({(ONE, 8000), (TWO, 8000)}))
CALLS = Drains(routes=frozenset({"call"}))
RETRY_AFTER = "1"


def call(fallback: Upstream | None = SHARED, **more: Any) -> Route:
    """`/ws/POD/…`, to the pod that the path names."""
    names = {"name": "call", "upgrade": ("websocket",), "upstream": POD, "fallback": fallback, "rewrite": "{rest}"}
    return route("regex", "^/ws/(?<pod>[^/]+)(?<rest>/.*)$", **{**names, **more})


def shared(**more: Any) -> Route:
    """`/shared/…`, to any pod."""
    return route("prefix", "/shared/", name="shared", upgrade=("websocket",), upstream=SHARED, **more)


def upgrade(path: str) -> bytes:
    return UPGRADE.replace(b"GET /ws ", b"GET %s " % path.encode())


def get(path: str) -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: edge.test\r\n\r\n" % path.encode()


def both(heard: list[Message]) -> Script:
    """A pod that opens every tunnel and answers every request."""

    async def script(pod: Peer) -> None:
        while True:
            request = await read_request(pod)
            heard.append(request)
            await pod.send(SWITCHING if request.get("upgrade") else OK)
            if request.get("upgrade"):
                await pod.send((await pod.exactly(5)).upper())

    return script


@pytest.fixture
def heard(edge: Edge) -> list[Message]:
    """What the pods are asked: two of them, by name and behind one name."""
    requests: list[Message] = []
    edge.names.served = {"pod-1.pods.test": (ONE,), "pod-2.pods.test": (TWO,), "pods.test": (ONE, TWO)}
    edge.pods = {ONE: both(requests), TWO: both(requests)}
    edge.use(call(), shared())
    return requests


async def opened(edge: Edge, path: str) -> Peer:
    """A client with a tunnel through which bytes go."""
    client = await edge.ask(upgrade(path))
    assert (await read_answer(client)).status == 101
    await client.send(b"hello")
    assert await client.exactly(5) == b"HELLO"
    return client


async def refused(edge: Edge, raw: bytes) -> Message:
    """The 503 that comes at once."""
    before = trio.current_time()
    answer = await read_answer(await edge.ask(raw))
    assert (answer.status, answer.get("retry-after")) == (503, RETRY_AFTER)
    assert trio.current_time() == before
    return answer


# ---- a pod ----


async def test_an_upgrade_to_a_drained_pod_opens_at_the_fallback(edge: Edge, heard: list[Message]) -> None:
    edge.context.drains = POD_1
    for _ in range(3):  # whose turn ever it is
        await opened(edge, "/ws/pod-1/x")
    assert edge.dialled == [TWO, TWO, TWO]
    assert [request.line for request in heard] == ["GET /x HTTP/1.1"] * 3
    assert [request.get("x-splicer-fallback-from") for request in heard] == ["pod-1"] * 3
    assert "pod-1.pods.test" not in edge.names.asked
    record = edge.told.opened[0]
    assert (record.upstream, record.protocol, record.status) == ("shared", "websocket", 101)
    first, second = record.attempts
    assert evolve(first, started=0) == AttemptOutcome("pod", None, "pod_draining", "pod-1 is being drained")
    assert (second.upstream, second.endpoint, second.failure) == ("shared", f"{TWO}:8000", None)
    assert (second.pod, second.fallback) == ("pods.test", True)


async def test_without_a_fallback_it_is_refused(edge: Edge, heard: list[Message]) -> None:
    edge.use(call(fallback=None))
    edge.context.drains = POD_1
    await refused(edge, upgrade("/ws/pod-1/x"))
    assert (edge.dialled, heard) == ([], [])
    record = edge.record
    assert (record.closer, record.close_reason, record.status) == ("proxy", "pod_draining", 503)
    assert record.detail == "pod-1 is being drained"
    assert (record.protocol, record.route, record.upstream) == ("websocket", "call", "pod")
    assert record.ended == record.started


async def test_an_upgrade_that_names_its_address_in_another_way_avoids_it_too(edge: Edge, heard: list[Message]) -> None:
    edge.names.served["alias-1.pods.test"] = (ONE,)
    edge.context.drains = POD_1
    await opened(edge, "/ws/alias-1/x")
    assert edge.dialled == [TWO]
    assert edge.told.opened[0].attempts[0].failure == "no_endpoint"


async def test_plain_http_that_names_it_still_gets_there(edge: Edge, heard: list[Message]) -> None:
    edge.context.drains = POD_1
    answer = await read_answer(await edge.ask(get("/ws/pod-1/callback")))
    assert (answer.status, answer.body) == (200, b"ok")
    assert edge.dialled == [ONE]
    assert heard[0].get("x-splicer-fallback-from") is None


async def test_plain_http_that_names_it_falls_back_to_another(edge: Edge, heard: list[Message]) -> None:
    edge.context.drains = BOTH
    edge.pods[ONE] = ConnectRefused("nobody listens")
    answer = await read_answer(await edge.ask(get("/ws/pod-1/callback")))
    assert (answer.status, edge.record.close_reason, edge.dialled) == (503, "no_endpoint", [ONE])
    edge.context.drains = POD_1
    assert (await read_answer(await edge.ask(get("/ws/pod-1/callback")))).status == 200
    assert edge.dialled[1:] == [ONE, TWO]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(("raw", "status"), [(upgrade("/shared/x"), 101), (get("/shared/x"), 200)])
async def test_a_shared_name_leads_to_its_other_pods(
    edge: Edge, heard: list[Message], raw: bytes, status: int, cached: bool
) -> None:
    if cached:
        edge.names.cache = {"pods.test": (ONE, TWO)}
    edge.context.drains = POD_1
    for _ in range(4):  # whose turn ever it is
        assert (await read_answer(await edge.ask(raw))).status == status
    assert set(edge.dialled) == {TWO}
    assert len(heard) == 4


async def test_a_connection_that_idles_at_a_drained_pod_is_not_used(edge: Edge, heard: list[Message]) -> None:
    edge.names.served["pods.test"] = (ONE,)
    assert (await read_answer(await edge.ask(get("/shared/x")))).status == 200
    edge.context.drains = POD_1
    edge.names.served["pods.test"] = (ONE, TWO)
    for _ in range(2):
        assert (await read_answer(await edge.ask(get("/shared/x")))).status == 200
    assert edge.dialled == [ONE, TWO]
    assert [peer.heard.count(b"GET ") for peer in edge.pod_peers] == [1, 2]


@pytest.mark.parametrize("path", ["/shared/x", "/ws/pod-1/x"])
async def test_where_all_are_drained_there_is_no_endpoint(edge: Edge, heard: list[Message], path: str) -> None:
    edge.context.drains = BOTH
    await refused(edge, upgrade(path))
    assert edge.record.close_reason == "no_endpoint"
    assert edge.record.protocol == "websocket"
    failures = [attempt.failure for attempt in edge.record.attempts]
    assert failures == (["no_endpoint"] if path == "/shared/x" else ["pod_draining", "no_endpoint"])
    assert edge.dialled == []


async def test_plain_http_finds_no_endpoint_either(edge: Edge, heard: list[Message]) -> None:
    edge.context.drains = BOTH
    await refused(edge, get("/shared/x"))
    assert (edge.record.close_reason, edge.record.protocol) == ("no_endpoint", None)


async def test_where_the_cache_knows_only_drained_ones_the_name_is_asked_for_anew(
    edge: Edge, heard: list[Message]
) -> None:
    edge.names.cache["pods.test"] = (ONE,)
    edge.context.drains = POD_1
    await opened(edge, "/shared/x")
    assert (edge.dialled, edge.names.asked) == ([TWO], ["pods.test"])


async def test_another_service_at_its_address_is_not_drained(edge: Edge, heard: list[Message]) -> None:
    edge.names.served["pods.test"] = (ONE,)
    edge.context.drains = Drains(endpoints=frozenset({(ONE, 9000)}))
    await opened(edge, "/shared/x")
    assert edge.dialled == [ONE]


async def test_other_pods_take_calls_and_so_does_it_when_it_is_lifted(edge: Edge, heard: list[Message]) -> None:
    edge.context.drains = POD_1
    await opened(edge, "/ws/pod-2/x")
    edge.context.drains = Drains()
    await opened(edge, "/ws/pod-1/x")
    assert edge.dialled == [TWO, ONE]
    assert [request.get("x-splicer-fallback-from") for request in heard] == [None, None]


@pytest.mark.parametrize("drains", [POD_1, CALLS], ids=["pod", "route"])
async def test_live_calls_go_on(edge: Edge, heard: list[Message], drains: Drains) -> None:
    client = await edge.ask(upgrade("/ws/pod-1/x"))
    assert (await read_answer(client)).status == 101
    edge.context.drains = drains
    await trio.sleep(60)
    await client.send(b"hello")
    assert await client.exactly(5) == b"HELLO"
    assert edge.told.closed == edge.told.ended == []


async def test_a_drain_that_begins_during_an_attempt_counts_for_the_next_one(edge: Edge, heard: list[Message]) -> None:
    edge.names.served["pod-1.pods.test"] = None
    client = await edge.ask(upgrade("/ws/pod-1/x"))
    await wait_all_tasks_blocked()
    edge.context.drains = BOTH
    answer = await read_answer(client)
    assert (answer.status, edge.record.close_reason) == (503, "no_endpoint")
    assert edge.dialled == []


# ---- a route ----


@pytest.mark.parametrize("raw", [upgrade("/ws/pod-1/x"), get("/ws/pod-1/x")], ids=["upgrade", "http"])
async def test_a_drained_route_takes_nothing_new(edge: Edge, heard: list[Message], raw: bytes) -> None:
    edge.context.drains = CALLS
    await refused(edge, raw)
    record = edge.record
    assert (record.closer, record.close_reason, record.status) == ("proxy", "draining", 503)
    assert (record.route, record.detail) == ("call", "route call is being drained")
    assert record.attempts == []
    assert record.ended == record.started
    assert (edge.dialled, heard) == ([], [])


async def test_others_go_on_even_on_the_same_connection(edge: Edge, heard: list[Message]) -> None:
    edge.context.drains = CALLS
    client = await edge.ask(get("/ws/pod-1/x"))
    assert (await read_answer(client)).status == 503
    await client.send(get("/shared/x"))
    assert (await read_answer(client)).status == 200
    await opened(edge, "/shared/x")


async def test_it_takes_calls_again_when_it_is_lifted(edge: Edge, heard: list[Message]) -> None:
    edge.context.drains = CALLS
    await refused(edge, upgrade("/ws/pod-1/x"))
    edge.context.drains = Drains()
    await opened(edge, "/ws/pod-1/x")


async def test_a_fallback_to_where_another_route_leads_is_no_use_of_that_route(
    edge: Edge, heard: list[Message]
) -> None:
    edge.context.drains = Drains(POD_1.pods, frozenset({"shared"}), POD_1.endpoints)
    await opened(edge, "/ws/pod-1/x")
    await refused(edge, upgrade("/shared/x"))


# ---- what is told ----


async def test_an_upgrade_that_fails_tells_what_it_was_for_and_when_it_was_over(
    edge: Edge, heard: list[Message]
) -> None:
    edge.use(call(fallback=None, deadlines={"connect": 3.0}))
    edge.pods[ONE] = None
    client = await edge.ask(upgrade("/ws/pod-1/x"))
    assert (await read_answer(client)).status == 504
    record = edge.record
    assert (record.protocol, record.close_reason, record.client) == ("websocket", "connect_deadline", CLIENT)
    assert record.ended == pytest.approx(record.started + 3)


async def test_one_that_a_pod_refuses_tells_it_too(edge: Edge, heard: list[Message]) -> None:
    edge.pods[ONE] = answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert (await read_answer(await edge.ask(upgrade("/ws/pod-1/x")))).status == 403
    assert edge.record.protocol == "websocket"
    assert edge.record.ended == edge.record.started


async def test_plain_http_tells_of_no_protocol(edge: Edge, heard: list[Message]) -> None:
    assert (await read_answer(await edge.ask(get("/ws/pod-1/x")))).status == 200
    assert edge.record.protocol is None
    assert edge.record.ended == edge.record.started


async def test_a_tunnel_tells_when_it_was_over(edge: Edge, heard: list[Message]) -> None:
    client = await opened(edge, "/ws/pod-1/x")
    assert edge.told.opened[0].ended is None
    await trio.sleep(7)
    client.end.close()
    await edge.idle()
    [record] = edge.told.closed
    assert record.ended == pytest.approx(record.started + 7)
