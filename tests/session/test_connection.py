"""One client connection from accept to close: refusals, keep-alive, drain, reload, and what the record says."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from splicer.model import Respond, StatusPage
from splicer.routing.table import RouteTable
from tests.kit.http import Message, read_head, read_request
from tests.session.edge import APP, SPARE, Edge, Script, answering, fallback_route, route
from tests.session.message import GET, OK, POST, PUT, UPGRADE, answer, read_answer
from tests.session.wire import Peer

HEALTH = route("path", "/health", name="health", respond=Respond(200, b"healthy\n"))
READY = route("path", "/ready", respond=Respond(200, b"ready\n", draining=Respond(503, b"draining\n")))


def get(path: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: edge.test", *fields, "", "")).encode()


async def silent(pod: Peer) -> None:
    await trio.sleep_forever()


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


REFUSALS = [
    (get("/none"), 404, "no_route"),
    (get("/api", method="DELETE"), 405, "method_not_allowed"),
    (get("/private"), 403, "client_not_allowed"),
]


@pytest.mark.parametrize(("raw", "status", "reason"), REFUSALS)
async def test_a_refusal_whose_framing_is_certain_keeps_the_connection(
    edge: Edge, raw: bytes, status: int, reason: str
) -> None:
    edge.use(
        route("path", "/api", methods=("GET", "PUT")),
        route("path", "/private", clients=(ip_network("10.0.0.0/8"),)),
        HEALTH,
    )
    client = await edge.ask(raw)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (status, None)
    assert told.body.startswith(str(status).encode())
    assert told.get("Allow") == ("GET, PUT, HEAD" if status == 405 else None)
    assert (edge.record.status, edge.record.closer, edge.record.close_reason) == (status, "proxy", reason)
    assert edge.record.detail
    await client.send(get("/health"))
    assert (await read_answer(client)).status == 200


@pytest.mark.parametrize(("raw", "status", "_"), REFUSALS)
async def test_a_refusal_before_a_body_ends_the_connection(edge: Edge, raw: bytes, status: int, _: str) -> None:
    edge.use(route("path", "/api", methods=("GET",)), route("path", "/private", clients=()), HEALTH)
    client = await edge.ask(raw[:-2] + b"Content-Length: 34\r\n\r\n" + get("/health"))
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (status, "close")
    await client.send(b"more")
    assert await client.rest() == b""
    assert len(edge.told.ended) == 1


@pytest.mark.parametrize("raw", [get("/none", version="1.0"), get("/none", "Connection: close")])
async def test_a_refusal_to_who_wants_no_more_ends_the_connection(edge: Edge, raw: bytes) -> None:
    edge.use(HEALTH)
    client = await edge.ask(raw)
    assert (await read_answer(client)).get("Connection") == "close"
    assert await client.rest() == b""
    assert edge.streams[0].ended == "close"


async def test_a_refused_head_gets_no_body(edge: Edge) -> None:
    edge.use(HEALTH)
    client = await edge.ask(get("/none", method="HEAD") + get("/health"))
    assert (await read_answer(client, "HEAD")).status == 404
    assert (await read_answer(client)).status == 200


MALFORMED = [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET /../etc HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /%2e%2e/etc HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
    (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"x" * 40_000, 414),
    (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 8_000 + b"\r\n", 431),
    (b"\r\n" * 20 + GET, 400),
]


@pytest.mark.parametrize(("raw", "status"), MALFORMED)
async def test_what_is_no_request_is_answered_and_the_connection_ends(edge: Edge, raw: bytes, status: int) -> None:
    client = await edge.ask(raw + b"x" * 1000)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (status, "close")
    assert (told.get("Allow") is not None) is (status == 405)
    await client.send(b"x" * 1000)  # lingering: no reset takes the answer away
    assert await client.rest() == b""
    assert (edge.record.status, edge.dialled) == (status, [])
    assert edge.told.times == [0]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", ("CONNECT", "a:443", 405)),
        (b"TRACE /x?secret HTTP/1.1\r\nHost: a\r\n\r\n", ("TRACE", "/x", 405)),
        (b"GET /../etc?secret HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\n", ("GET", "/../etc", 400)),
        (b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", ("GET", "/x", 400)),
        (b"GET /\xff\x01 HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", r"/\xff\x01", 400)),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 200 + b"\r\n", ("PUT", "/x", 431)),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000, ("PUT", "/x", 431)),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\n folded", ("PUT", "/x", 400)),
        (b"GET /x HTTP/1.1\r\nHost: a\r\n", ("GET", "/x", 408)),
        (b"GET /x", (None, None, 408)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", (None, None, 400)),
    ],
)
async def test_the_record_of_a_refused_head_has_its_request_line(
    edge: Edge, raw: bytes, told: tuple[str | None, str | None, int]
) -> None:
    client = await edge.ask(raw)
    assert (await read_answer(client)).status == told[2]
    assert (edge.record.method, edge.record.path, edge.record.status) == told
    assert edge.record.query is None


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


async def test_a_drain_refuses_what_is_new(edge: Edge) -> None:
    edge.use(HEALTH, READY, route())
    edge.pods[APP] = answering(OK)
    edge.context.draining = True
    for raw in (GET, POST, GET.replace(b"GET", b"HEAD")):
        client = await edge.ask(raw)
        told = await read_answer(client, raw.split(b" ")[0].decode())
        assert (told.status, told.get("Connection")) == (503, "close")
        assert told.get("Retry-After")
        assert await client.rest() == b""
    assert edge.dialled == []
    assert edge.told.ended[0].close_reason == "draining"


async def test_a_drain_is_told_by_who_is_asked(edge: Edge) -> None:
    edge.use(HEALTH, READY)
    client = await edge.ask(get("/ready") + get("/health"))
    for body in (b"ready\n", b"healthy\n"):
        told = await read_answer(client)
        assert (told.status, told.body, told.get("Connection")) == (200, body, None)
    edge.context.draining = True
    for path, status, body in (("/ready", 503, b"draining\n"), ("/health", 200, b"healthy\n")):
        client = await edge.ask(get(path))
        told = await read_answer(client)
        assert (told.status, told.body, told.get("Connection")) == (status, body, "close")


async def test_a_probe_hears_whether_calls_are_protected(edge: Edge) -> None:
    vault = SimpleNamespace(connected=True)
    edge.context.vault = cast("Any", vault)
    edge.use(route("path", "/ready", respond=Respond(200, b"ready", unprotected=Respond(200, b"unprotected"))))
    client = await edge.ask(get("/ready"))
    assert (await read_answer(client)).body == b"ready"
    vault.connected = False
    await client.send(get("/ready"))
    assert (await read_answer(client)).body == b"unprotected"


async def test_what_is_under_way_is_finished_in_a_drain(edge: Edge) -> None:
    async def slow(pod: Peer) -> None:
        await read_request(pod)
        await trio.sleep(5)
        await pod.send(OK)

    edge.pods[APP] = slow
    client = await edge.ask(GET)
    await trio.sleep(1)
    edge.context.draining = True
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (200, "close")
    assert await client.rest() == b""


async def test_an_idle_connection_is_refused_its_next_request_in_a_drain(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(GET)
    await read_answer(client)
    edge.context.draining = True
    await client.send(GET)
    assert (await read_answer(client)).status == 503


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


@pytest.mark.parametrize(("sent", "told"), [(b"", 0), (b"\r\n", 0), (b"GET / HT", 1)])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_before_it_has_asked(edge: Edge, sent: bytes, told: int, how: str) -> None:
    client = await edge.ask(sent)
    await wait_all_tasks_blocked()
    getattr(client.end, how)()
    await edge.idle()
    assert len(edge.told.ended) == told
    if told:
        assert (edge.record.status, edge.record.closer, edge.record.close_reason) == (499, "client", "client_gone")
    assert edge.streams[0].ended == "close"


async def test_a_crash_ends_its_connection_alone_and_is_told_once(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    original = RouteTable.match

    def match(self: RouteTable, method: str, host: str, path: str) -> object:
        if path == "/crash":
            raise ZeroDivisionError
        return original(self, method, host, path)

    monkeypatch.setattr(RouteTable, "match", match)
    edge.expect_crash = True
    edge.pods[APP] = answering(OK)
    other = edge.connect()
    client = await edge.ask(get("/crash"))
    assert await client.rest() == b""
    [(address, record, error)] = edge.told.crashes
    assert (address, type(error), edge.told.ended) == ("192.0.2.7", ZeroDivisionError, [])
    assert record is not None
    assert (len(record.id), record.path) == (16, "/crash")
    await other.send(GET)
    assert (await read_answer(other)).status == 200


async def test_a_crash_beside_an_exchange_is_told_once(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("splicer.session.body.RequestBody._keep", crash)
    edge.expect_crash = True
    edge.pods[APP] = answering(OK)
    client = await edge.ask(PUT)
    await client.was_reset()
    [(_, record, error)] = edge.told.crashes
    assert isinstance(error, ExceptionGroup)
    assert record is not None
    assert (record.path, edge.told.ended) == ("/x", [])
    assert [stream.ended for stream in edge.streams] == ["close", "close"]


async def beginning(pod: Peer) -> None:
    await read_request(pod)
    await pod.send(answer(b"0123456789")[:-5])


@pytest.mark.parametrize("pod", [silent, beginning])
@pytest.mark.parametrize("raw", [GET, POST, POST[:-2]], ids=["none", "body", "half a body"])
async def test_stopping_cuts_what_is_under_way_and_tells_of_it(edge: Edge, raw: bytes, pod: Script) -> None:
    edge.pods[APP] = pod
    client = await edge.ask(raw)
    await trio.sleep(1)
    edge.stop()
    await client.rest()
    assert (edge.record.closer, edge.record.close_reason) == ("proxy", "shutdown")
    assert edge.record.status == (200 if pod is beginning and raw != POST[:-2] else None)
    assert [stream.ended for stream in edge.streams] == ["close", "close"]


async def test_stopping_resets_an_http_10_client_in_an_answer_that_ends_with_its_connection(edge: Edge) -> None:
    edge.pods[APP] = answering(b"HTTP/1.0 200 OK\r\n\r\n01234")
    client = await edge.ask(b"GET / HTTP/1.0\r\n\r\n")
    await trio.sleep(1)
    edge.stop()
    assert await client.was_reset()


@pytest.mark.parametrize(("sent", "told"), [(b"", 0), (b"GET / HT", 1)])
async def test_stopping_tells_nothing_of_who_has_not_asked(edge: Edge, sent: bytes, told: int) -> None:
    client = await edge.ask(sent)
    await wait_all_tasks_blocked()
    edge.stop()
    await client.rest()
    assert len(edge.told.ended) == told


async def test_stopping_tells_nothing_of_an_idle_connection(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(GET)
    await read_answer(client)
    edge.stop()
    assert await client.rest() == b""
    assert edge.record.close_reason == "complete"


async def test_stopping_changes_nothing_that_is_over(edge: Edge) -> None:
    client = await edge.ask(b"\x00")
    await read_answer(client)  # and now the edge lingers
    edge.stop()
    assert await client.rest() == b""
    assert edge.record.close_reason == "bad_request"


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
