"""Attempts: what leads to the fallback, what does not, and what the client is told."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
import trio

from splicer.errors import ConnectFailed, ConnectRefused, NameNotFound, ResolveFailed, SplicerError
from tests.kit.http import Message, read_request
from tests.session.edge import APP, SPARE, SPARE_UPSTREAM, Edge, Script, answering, fallback_route, route, upstream
from tests.session.message import GET, OK, POST, PUT, SWITCHING, UPGRADE, answer, read_answer
from tests.session.pods import resetting, silent
from tests.session.wire import Peer

HALF_A_HEAD = b"HTTP/1.1 200 OK\r\nContent-"


def closing(first: bytes = b"") -> Script:
    async def script(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(first)
        pod.end.close()

    return script


async def reset_in_its_head(pod: Peer) -> None:
    await pod.until(b"\r\n\r\n")
    await pod.send(HALF_A_HEAD)
    await trio.sleep(1)
    pod.end.reset()


def noting(requests: list[Message], raw: bytes = OK) -> Script:
    async def script(pod: Peer) -> None:
        requests.append(await read_request(pod))
        await pod.send(raw)

    return script


Failure = tuple[Script | SplicerError | None, str, int]  # what happens, its reason, and the status it leads to

POD_FAILURES: list[Failure] = [
    (ConnectRefused("no"), "connect_refused", 502),
    (ConnectFailed("unreachable"), "connect_failed", 502),
    (None, "connect_deadline", 504),
    (resetting, "pod_reset", 502),
    (closing(), "pod_closed", 502),
    (closing(HALF_A_HEAD), "pod_closed", 502),
    (reset_in_its_head, "pod_reset", 502),
    (silent, "handshake_deadline", 504),
]
STATUSES: list[Failure] = [
    (answering(answer(b"broken", f"{status} Broken")), "status", status)  # of the pod, when nobody falls back
    for status in (502, 503, 504)
]
NAME_FAILURES: list[Failure] = [
    (NameNotFound("gone"), "name_not_found", 503),
    (ResolveFailed("servers"), "resolve_failed", 503),
    (None, "resolve_deadline", 504),
]


@pytest.mark.parametrize(("request_bytes", "good"), [(GET, OK), (PUT, OK), (UPGRADE, SWITCHING)])
@pytest.mark.parametrize(("failing", "reason", "_"), POD_FAILURES + STATUSES)
async def test_what_another_pod_could_mend_leads_to_the_fallback(
    edge: Edge, failing: Script | SplicerError | None, reason: str, _: int, request_bytes: bytes, good: bytes
) -> None:
    edge.use(fallback_route(upgrade=("websocket",)))
    requests: list[Message] = []
    edge.pods |= {APP: failing, SPARE: noting(requests, good)}
    client = await edge.ask(request_bytes)
    status = (await read_answer(client)).status
    assert status == (101 if good is SWITCHING else 200)
    assert edge.dialled == [APP, SPARE]
    [request] = requests
    assert request.get("X-Splicer-Fallback-From") == "app.test"
    assert request.body == (b"body" if request_bytes is PUT else b"")
    client.end.close()
    await edge.idle()
    record = (edge.told.ended + edge.told.closed)[0]
    assert [(attempt.upstream, attempt.failure) for attempt in record.attempts] == [("app", reason), ("spare", None)]
    assert record.attempts[0].endpoint == f"{APP}:8000"
    assert record.endpoint is not None
    assert (record.upstream, record.endpoint.address) == ("spare", SPARE)
    assert record.target == "spare.test:8000" + ("/ws" if good is SWITCHING else "/x")


@pytest.mark.parametrize(("failing", "reason", "_"), NAME_FAILURES)
async def test_a_name_that_is_not_found_leads_to_the_fallback(
    edge: Edge, failing: SplicerError | None, reason: str, _: int
) -> None:
    edge.use(fallback_route())
    edge.names.served["app.test"] = failing
    edge.pods[SPARE] = answering(OK)
    assert (await read_answer(await edge.ask(GET))).status == 200
    [first, second] = edge.record.attempts
    assert (first.failure, first.endpoint, second.failure) == (reason, None, None)


@pytest.mark.parametrize(("failing", "reason", "status"), POD_FAILURES + STATUSES)
async def test_without_a_fallback_the_failure_is_the_answer(
    edge: Edge, failing: Script | SplicerError | None, reason: str, status: int
) -> None:
    edge.pods[APP] = failing
    told = await read_answer(await edge.ask(GET))
    assert told.status == status
    assert (edge.record.status, edge.record.client) == (status, "192.0.2.7")
    if reason == "status":
        assert told.body == b"broken"
        assert edge.record.close_reason == "complete"
    else:
        assert told.get("Retry-After") is None
        assert edge.record.close_reason == reason
        assert [attempt.failure for attempt in edge.record.attempts] == [reason]


@pytest.mark.parametrize(("failing", "reason", "status"), NAME_FAILURES)
async def test_without_an_endpoint_the_client_may_come_again(
    edge: Edge, failing: SplicerError | None, reason: str, status: int
) -> None:
    edge.names.served["app.test"] = failing
    told = await read_answer(await edge.ask(GET))
    assert told.status == status
    assert (told.get("Retry-After") is not None) is (status == 503)
    assert edge.record.close_reason == reason


@pytest.mark.parametrize(("failing", "reason", "status"), POD_FAILURES)
async def test_the_last_attempt_gives_the_status(
    edge: Edge, failing: Script | SplicerError | None, reason: str, status: int
) -> None:
    edge.use(fallback_route())
    edge.pods |= {APP: answering(answer(b"", "503 Broken")), SPARE: failing}
    assert (await read_answer(await edge.ask(GET))).status == status
    assert [attempt.failure for attempt in edge.record.attempts] == ["status", reason]
    assert edge.record.endpoint is None


async def test_what_the_fallback_answers_is_the_answer(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.pods |= {APP: ConnectRefused("no"), SPARE: answering(answer(b"so what", "503 Busy"))}
    told = await read_answer(await edge.ask(GET))
    assert (told.status, told.body) == (503, b"so what")


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"no", "404 Not Found"),
        answer(b"no", "429 Too Many"),
        answer(b"no", "500 Oh"),
        answer(b"no", "501 What"),
    ],
)
async def test_other_statuses_are_relayed(edge: Edge, raw: bytes) -> None:
    edge.use(fallback_route(upgrade=("websocket",)))
    for request in (GET, UPGRADE):
        edge.pods[APP] = answering(raw)
        told = await read_answer(await edge.ask(request))
        assert told.body == b"no"
    assert edge.dialled in ([APP, APP], [APP])


async def test_a_route_says_which_statuses_lead_to_the_fallback(edge: Edge) -> None:
    edge.use(fallback_route(fallback_on=frozenset({418})))
    edge.pods |= {APP: answering(answer(b"", "418 Teapot")), SPARE: answering(OK)}
    assert (await read_answer(await edge.ask(GET))).status == 200
    edge.pods[APP] = answering(answer(b"", "503 Busy"))
    edge.context.pool.close()
    assert (await read_answer(await edge.ask(GET))).status == 503


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"\x00" * 100,
    ],
)
async def test_a_bad_answer_is_told_at_once(edge: Edge, garbage: bytes) -> None:
    edge.use(fallback_route(upgrade=("websocket",)))
    edge.pods |= {APP: answering(garbage), SPARE: answering(OK)}
    for request in (GET, UPGRADE):
        edge.told.ended.clear()
        assert (await read_answer(await edge.ask(request))).status == 502
        assert (edge.record.closer, edge.record.close_reason) == ("pod", "bad_answer")
        assert edge.record.detail
    assert edge.dialled == [APP, APP]


async def test_an_address_that_is_not_allowed_is_no_reason_to_fall_back(edge: Edge) -> None:
    strict = upstream("app", allow=(ip_network("172.16.0.0/12"),))
    edge.use(fallback_route(upstream=strict))
    edge.pods[SPARE] = answering(OK)
    assert (await read_answer(await edge.ask(GET))).status == 502
    assert edge.dialled == []
    assert edge.record.close_reason == "address_not_allowed"
    assert APP in (edge.record.detail or "")


@pytest.mark.parametrize(
    ("failing", "status"),
    [(resetting, 502), (closing(), 502), (silent, 504), (answering(answer(b"busy", "503 Busy")), 503)],
)
async def test_what_a_pod_may_have_done_is_not_done_twice(edge: Edge, failing: Script, status: int) -> None:
    edge.use(fallback_route())
    edge.pods |= {APP: failing, SPARE: answering(OK)}
    told = await read_answer(await edge.ask(POST))
    assert (told.status, told.body == b"busy") == (status, status == 503)
    assert edge.dialled == [APP]


@pytest.mark.parametrize("failing", [ConnectRefused("no"), None])
async def test_what_no_pod_has_seen_is_tried_again(edge: Edge, failing: SplicerError | None) -> None:
    edge.use(fallback_route())
    requests: list[Message] = []
    edge.pods |= {APP: failing, SPARE: noting(requests)}
    assert (await read_answer(await edge.ask(POST))).status == 200
    assert requests[0].body == b"body"


async def test_a_body_that_is_too_large_to_keep_is_not_sent_twice(edge: Edge) -> None:
    edge.use(fallback_route())

    async def deep_in(pod: Peer) -> None:
        await pod.until(b"\r\n\r\n")
        await pod.exactly(70_000)
        pod.end.reset()

    edge.pods |= {APP: deep_in, SPARE: answering(OK)}
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 65_000)
    await client.send(b"x" * 35_000)
    assert (await read_answer(client)).status == 502
    assert edge.dialled == [APP]


async def test_a_body_that_was_sent_in_part_is_sent_again_whole(edge: Edge) -> None:
    edge.use(fallback_route())
    requests: list[Message] = []

    async def half_way(pod: Peer) -> None:
        await pod.until(b"one")
        await pod.send(answer(b"", "503 Busy"))

    edge.pods |= {APP: half_way, SPARE: noting(requests)}
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    await trio.sleep(1)
    await client.send(b"3\r\ntwo\r\n0\r\n\r\n")
    assert (await read_answer(client)).status == 200
    assert requests[0].body == b"onetwo"


async def test_the_pod_in_the_url_is_named_to_the_fallback(edge: Edge) -> None:
    edge.use(route("regex", r"^/(?<pod>[^/]+)/", upstream=upstream("pod", "{pod}.pods.test"), fallback=SPARE_UPSTREAM))
    requests: list[Message] = []
    edge.pods[SPARE] = noting(requests)
    await read_answer(await edge.ask(b"GET /agent-3/x HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert requests[0].get("X-Splicer-Fallback-From") == "agent-3"
    assert edge.names.asked == ["agent-3.pods.test", "spare.test"]


async def test_a_capture_that_is_no_label_is_not_found(edge: Edge) -> None:
    edge.use(route("regex", r"^/(?<pod>[^/]+)/", upstream=upstream("pod", "{pod}.pods.test"), fallback=SPARE_UPSTREAM))
    told = await read_answer(await edge.ask(b"GET /10.0.0.9:80%3f/x HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert told.status == 404
    assert (edge.record.close_reason, edge.record.attempts, edge.dialled) == ("bad_capture", [], [])
