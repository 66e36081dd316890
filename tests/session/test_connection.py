"""One client connection from accept to close: answers of our own, keep-alive, reload, and what the record says."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from splicer.model import Respond, StatusPage
from tests.kit.http import Message, read_head, read_request
from tests.session.edge import APP, HEALTH, SPARE, Edge, answering, fallback_route, route
from tests.session.message import GET, OK, POST, UPGRADE, answer, get, read_answer
from tests.session.pods import silent
from tests.session.wire import Peer


async def test_a_route_may_answer_by_itself(edge: Edge) -> None:
    own = Respond(418, b"<p>tea</p>", "text/html", ((b"X-Pot", b"1"), (b"x-Lid", b"2")))
    edge.use(HEALTH, route("path", "/tea", respond=own))
    client = await edge.ask(get("/health") + get("/tea") + get("/tea", method="HEAD"))
    told = await read_answer(client)
    assert (told.status, told.body, told.get("Content-Type")) == (200, b"healthy\n", "text/plain; charset=utf-8")
    told = await read_answer(client)
    assert (told.status, told.body, told.get("Content-Type")) == (418, b"<p>tea</p>", "text/html")
    assert told.fields[-2:] == [("X-Pot", "1"), ("x-Lid", "2")]
    told = await read_answer(client, "HEAD")
    assert (told.status, told.get("Content-Length")) == (418, "10")
    first, second, third = edge.told.ended
    assert (first.route, first.status, first.closer, first.close_reason) == ("health", 200, "proxy", "complete")
    assert (first.upstream, first.attempts, first.to_client, second.to_client, third.to_client) == (None, [], 8, 10, 0)


async def test_an_answer_of_our_own_leaves_no_body_behind(edge: Edge) -> None:
    edge.use(HEALTH)
    client = await edge.ask(get("/health", "Content-Length: 30", method="POST") + get("/health"))
    assert (await read_answer(client)).get("Connection") == "close"
    assert await client.rest() == b""
    assert len(edge.told.ended) == 1


async def test_the_status_page_is_that_of_nginx(edge: Edge) -> None:
    edge.use(HEALTH, route("path", "/status", respond=StatusPage.STUB_STATUS), route())
    edge.context.counts.accepted, edge.context.counts.handled = 7, 6
    edge.pods[APP] = silent
    await edge.ask(GET)
    idle = await edge.ask(get("/health"))
    await read_answer(idle)
    edge.connect()
    await wait_all_tasks_blocked()
    told = await read_answer(await edge.ask(get("/status")))
    assert told.get("Content-Type") == "text/plain"
    assert told.body == (
        b"Active connections: 4 \nserver accepts handled requests\n 7 6 3 \nReading: 1 Writing: 2 Waiting: 1 \n"
    )


@pytest.mark.parametrize("scheme", [b"http", b"https", b"ws", b"WSS"])
async def test_an_absolute_target_is_routed_by_its_authority(edge: Edge, scheme: bytes) -> None:
    edge.use(route(hosts=("pods.test",)))
    requests: list[Message] = []

    async def noting(pod: Peer) -> None:
        requests.append(await read_request(pod))
        await pod.send(OK)

    edge.pods[APP] = noting
    client = await edge.ask(b"GET " + scheme + b"://pods.test/x?y HTTP/1.1\r\nHost: other\r\n\r\n")
    assert (await read_answer(client)).status == 200
    assert (requests[0].line, requests[0].get("Host")) == ("GET /x?y HTTP/1.1", "pods.test")
    assert (edge.record.host, edge.record.path, edge.record.query) == ("pods.test", "/x", "y")


@pytest.mark.parametrize(
    ("address", "forwarded", "status"),
    [
        ("10.1.1.1", None, 200),
        ("192.0.2.7", None, 403),
        ("192.0.2.7", "10.1.1.1", 403),
        ("172.16.0.1", "10.1.1.1", 200),
        ("172.16.0.1", "192.0.2.7", 403),
    ],
)
async def test_clients_are_judged_behind_trusted_proxies(
    edge: Edge, address: str, forwarded: str | None, status: int
) -> None:
    edge.use(route(clients=(ip_network("10.0.0.0/8"),)), trusted=(ip_network("172.16.0.0/12"),))
    edge.pods[APP] = answering(OK)
    client = edge.connect(address)
    await client.send(get("/", *([f"X-Forwarded-For: {forwarded}"] if forwarded else [])))
    assert (await read_answer(client)).status == status
    assert edge.record.client == (forwarded if address.startswith("172") else address)


async def test_the_record_of_an_exchange(edge: Edge) -> None:
    async def slow(pod: Peer) -> None:
        await read_request(pod)
        await trio.sleep(2)
        await pod.send(answer(b"12345", "201 Made"))

    edge.use(fallback_route(kind="regex", text="^/a/(?<rest>.*)$", name="things", rewrite="/b/{rest}"))
    edge.pods |= {APP: None, SPARE: slow}
    await trio.sleep(10)
    client = edge.connect("198.51.100.3")
    await trio.sleep(5)
    await client.send(b"PUT /a/%20x?token=1 HTTP/1.1\r\nHost: Edge.Test:80\r\nContent-Length: 3\r\n\r\nabc")
    assert (await read_answer(client)).status == 201
    record = edge.record
    assert len(record.id) == 16
    assert record.request_id == record.id
    assert (record.client, record.method, record.host) == ("198.51.100.3", "PUT", "Edge.Test:80")
    assert (record.path, record.query, record.route) == ("/a/%20x", "token=1", "things")
    assert (record.upstream, record.target) == ("spare", "spare.test:8000/b/%20x")
    assert str(record.endpoint) == f"{SPARE}:8000"
    assert [(a.upstream, a.endpoint, a.failure) for a in record.attempts] == [
        ("app", f"{APP}:8000", "connect_deadline"),
        ("spare", f"{SPARE}:8000", None),
    ]
    assert (record.status, record.to_pod, record.to_client) == (201, 3, 5)
    assert (record.closer, record.close_reason, record.detail) == ("pod", "complete", None)
    assert (record.started, edge.told.times) == (15, [20])
    assert (record.parts.connect, record.parts.handshake) == (3, 2)


async def test_each_request_has_a_record_of_its_own(edge: Edge) -> None:
    edge.use(HEALTH, route(log=False))
    edge.pods[APP] = answering(OK)
    client = await edge.ask(get("/health") + GET)
    await read_answer(client)
    await read_answer(client)
    first, second = edge.told.ended
    assert first.id != second.id
    assert (first.logged, second.logged) == (True, False)


async def test_a_trusted_proxys_request_id_goes_on(edge: Edge) -> None:
    edge.use(route(), trusted=(ip_network("172.16.0.0/12"),))
    requests: list[Message] = []

    async def noting(pod: Peer) -> None:
        requests.append(await read_request(pod))
        await pod.send(OK)

    edge.pods[APP] = noting
    client = edge.connect("172.16.0.1")
    await client.send(get("/", "X-Request-ID: theirs"))
    await read_answer(client)
    assert requests[0].get("X-Request-ID") == edge.record.request_id == "theirs"
    assert edge.record.id != "theirs"


async def test_the_next_request_goes_by_the_new_rules(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    fresh, idle = edge.connect(), await edge.ask(GET)
    await read_answer(idle)
    edge.use(evolve(HEALTH, pattern=route().pattern))
    for client in (fresh, idle):
        await client.send(GET)
        assert (await read_answer(client)).body == b"healthy\n"


async def test_a_request_goes_by_one_set_of_rules(edge: Edge) -> None:
    async def failing(pod: Peer) -> None:
        await read_request(pod)
        await trio.sleep(1)
        pod.end.reset()

    edge.use(fallback_route())
    edge.pods |= {APP: failing, SPARE: answering(OK)}
    client = await edge.ask(GET)
    await wait_all_tasks_blocked()
    edge.use(HEALTH)
    assert (await read_answer(client)).body == b"ok"


async def test_where_connections_stand_is_counted(edge: Edge) -> None:
    counts = edge.context.counts

    def stand() -> tuple[int, int, int]:
        return counts.reading, counts.writing, counts.waiting

    edge.pods[APP] = answering(OK)
    client = edge.connect()
    await wait_all_tasks_blocked()
    assert (stand(), counts.requests) == ((1, 0, 0), 0)
    await client.send(GET)
    await read_answer(client)
    assert (stand(), counts.requests) == ((0, 0, 1), 1)
    await client.send(b"GET")
    await wait_all_tasks_blocked()
    assert stand() == (1, 0, 0)
    edge.pods[APP] = silent
    edge.context.pool.close()
    await client.send(GET[3:])
    await wait_all_tasks_blocked()
    assert (stand(), counts.requests) == ((0, 1, 0), 2)
    client.end.close()
    await edge.idle()
    assert (stand(), counts.active) == ((0, 0, 0), 0)


async def test_expectations_of_our_own_answers(edge: Edge) -> None:
    """Nobody asks for the body: the client hears the answer, and then the end."""
    edge.use(HEALTH)
    client = await edge.ask(get("/health", "Expect: 100-continue", "Content-Length: 5", method="POST"))
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (200, "close")
    assert await client.rest() == b""


async def test_a_pipelined_request_after_a_close_is_none(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(get("/", "Connection: close") + GET)
    assert (await read_answer(client)).get("Connection") == "close"
    await client.send(GET)
    assert await client.rest() == b""
    assert len(edge.told.ended) == 1


async def test_empty_lines_between_requests_are_skipped(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(b"\r\n" + GET + b"\r\n\r\n" + GET)
    assert [(await read_answer(client)).status for _ in range(2)] == [200, 200]
    head = await edge.ask(POST + b"\r\n")  # as old browsers do
    assert (await read_answer(head)).status == 200
    await head.send(GET)
    assert (await read_head(head)).status == 200


# ---- a way that leads back ----


async def passed_on(edge: Edge, passes: list[int]) -> Peer:
    """A pod that is the edge itself: whatever reaches it goes in again."""

    async def itself(pod: Peer) -> None:
        passes.append(len(passes) + 1)
        again = edge.connect()
        await again.send(await pod.until(b"\r\n\r\n"))
        told = await read_answer(again)
        again.end.close()
        await pod.send(answer(told.body, told.line.partition(" ")[2]))

    edge.use(fallback_route(upgrade=("websocket",)))
    edge.pods |= {APP: itself, SPARE: itself}
    return edge.connect()


@pytest.mark.parametrize("raw", [GET, UPGRADE])
async def test_a_request_that_goes_round_in_a_circle_ends_at_the_sixth_pass(edge: Edge, raw: bytes) -> None:
    passes: list[int] = []
    client = await passed_on(edge, passes)
    await client.send(raw)
    assert (await read_answer(client)).status == 508
    assert len(passes) == 5
    first, *others = edge.told.ended
    assert (first.status, first.close_reason, first.attempts) == (508, "loop", [])
    assert "app" in (first.detail or "")
    assert [record.status for record in others] == [508] * 5


async def test_an_answer_of_our_own_needs_no_end_of_a_circle(edge: Edge) -> None:
    edge.use(HEALTH)
    told = await read_answer(await edge.ask(get("/health", *["Via: 1.1 splicer"] * 9)))
    assert told.status == 200
