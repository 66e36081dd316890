"""Plain HTTP through the edge: the order of requests, bodies on their way, and who leaves or does not read."""

from __future__ import annotations

import pytest
import trio

from tests.kit.http import Message, read_head, read_request
from tests.session.edge import APP, Edge, Script, answering, fallback_route, route
from tests.session.message import GET, OK, POST, answer, chunk, read_answer, request
from tests.session.pods import noting, silent
from tests.session.wire import Peer


async def test_requests_are_answered_in_order(edge: Edge) -> None:
    async def echoing(pod: Peer) -> None:
        while True:
            told = await read_request(pod)
            await trio.sleep(5 if told.line.startswith("GET /a") else 0.1)
            await pod.send(answer(told.line.encode() + told.body))

    edge.pods[APP] = echoing
    client = edge.connect()
    paths = ["/a", "/b", "/../", "/a", "/c"]
    await client.send(
        b"".join(
            f"{'PUT' if path == '/b' else 'GET'} {path} HTTP/1.1\r\nHost: a\r\n".encode()
            + (b"Content-Length: 3\r\n\r\nxyz" if path == "/b" else b"\r\n")
            for path in paths[:2]
        )
    )
    assert (await read_answer(client)).body == b"GET /a HTTP/1.1"
    assert (await read_answer(client)).body == b"PUT /b HTTP/1.1xyz"
    assert [record.path for record in edge.told.ended] == ["/a", "/b"]


@pytest.mark.parametrize(
    "framed", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
async def test_a_request_that_comes_with_the_end_of_a_body_is_the_next(edge: Edge, framed: bytes) -> None:
    requests: list[Message] = []
    edge.pods[APP] = noting(requests)
    client = await edge.ask((b"PUT /x HTTP/1.1\r\nHost: a\r\n" + framed) * 2 + GET)
    assert [(await read_answer(client)).status for _ in range(3)] == [200, 200, 200]
    assert [(message.line[:3], message.body) for message in requests] == [
        ("PUT", b"abc"),
        ("PUT", b"abc"),
        ("GET", b""),
    ]


async def test_a_refused_request_in_between_does_not_break_the_order(edge: Edge) -> None:
    edge.use(route("path", "/a"), route("path", "/b", methods=("PUT",)))
    edge.pods[APP] = answering(OK)
    client = await edge.ask(
        b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in (b"/a", b"/none", b"/b", b"/a"))
    )
    assert [(await read_answer(client)).status for _ in range(4)] == [200, 404, 405, 200]


async def test_after_a_malformed_request_nothing_that_follows_is_one(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(GET + b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert [(await read_answer(client)).status for _ in range(2)] == [200, 400]
    assert await client.rest() == b""
    assert edge.dialled == [APP]


@pytest.mark.parametrize("early", ["200 OK", "500 Oh", "413 Too Much"])
async def test_an_answer_before_the_body_is_over_ends_both_connections(edge: Edge, early: str) -> None:
    async def hasty(pod: Peer) -> None:
        await read_head(pod)
        await pod.send(answer(b"enough", early))

    edge.pods[APP] = hasty
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    client = await edge.ask(request("PUT", f"Content-Length: {2 * len(smuggled)}", body=smuggled))
    told = await read_answer(client)
    assert (told.body, told.get("Connection")) == (b"enough", "close")
    await client.send(smuggled)
    assert await client.rest() == b""
    assert edge.dialled == [APP]
    assert len(edge.context.pool) == 0
    assert [record.path for record in edge.told.ended] == ["/x"]
    assert edge.told.times == [0]  # and not when the lingering was over


async def test_an_early_answer_goes_on_while_the_body_does(edge: Edge) -> None:
    async def echoing(pod: Peer) -> None:
        await read_head(pod)
        await pod.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            await pod.send(chunk(await pod.exactly(3)))
        await pod.send(b"0\r\n\r\n")

    edge.pods[APP] = echoing
    client = await edge.ask(request("PUT", "Content-Length: 9"))
    assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    for piece in (b"abc", b"def", b"ghi"):
        await client.send(piece)
        assert await client.exactly(8) == chunk(piece)
    assert await client.rest() == b"0\r\n\r\n"


async def test_nothing_is_held_back(edge: Edge) -> None:
    """Half a body reaches the pod before the other half is sent, and half an answer the client likewise."""

    async def echoing(pod: Peer) -> None:
        head = await read_head(pod)
        assert head.get("Content-Length") == "2000"
        assert await pod.exactly(1000) == b"a" * 1000
        half.set()
        assert await pod.exactly(1000) == b"b" * 1000
        await pod.send(answer(b"c" * 1000 + b"d" * 1000)[:-1000])
        await both.wait()
        await pod.send(b"d" * 1000)

    half, both = trio.Event(), trio.Event()
    edge.pods[APP] = echoing
    client = await edge.ask(request("PUT", "Content-Length: 2000", body=b"a" * 1000))
    await half.wait()
    await client.send(b"b" * 1000)
    await client.until(b"\r\n\r\n")
    assert await client.exactly(1000) == b"c" * 1000
    both.set()
    assert await client.exactly(1000) == b"d" * 1000


async def test_a_client_that_does_not_read_stops_the_pod(edge: Edge) -> None:
    sent = 0

    async def pouring(pod: Peer) -> None:
        nonlocal sent
        await read_request(pod)
        await pod.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        while True:
            await pod.end.send_all(b"x" * 10_000)
            sent += 10_000

    edge.pods[APP] = pouring
    client = await edge.ask(GET)
    await trio.sleep(10)
    assert sent < 1_000_000
    await client.exactly(2_000_000)
    assert sent >= 1_000_000
    client.end.close()


async def test_a_pod_that_does_not_read_stops_the_client(edge: Edge) -> None:
    sent = 0
    edge.pods[APP] = silent
    client = await edge.ask(request("PUT", "Content-Length: 5000000"))
    with trio.move_on_after(10):
        while True:
            await client.end.send_all(b"x" * 10_000)
            sent += 10_000
    assert sent < 1_000_000
    client.end.reset()
    await edge.idle()
    assert edge.record.closer == "client"


async def beginning(pod: Peer) -> None:
    await read_request(pod)
    await pod.send(answer(b"0123456789")[:-5])


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("raw", [GET, POST, POST[:-2]], ids=["none", "body", "half a body"])
@pytest.mark.parametrize("pod", [silent, beginning])
async def test_when_the_client_leaves_the_pod_is_left_too(edge: Edge, pod: Script, raw: bytes, how: str) -> None:
    edge.use(fallback_route())
    edge.pods[APP] = pod
    client = await edge.ask(raw)
    await trio.sleep(1)
    getattr(client.end, how)()
    await edge.idle()
    assert trio.current_time() < 3
    assert [stream.ended for stream in edge.streams] == ["close", "close"]
    assert edge.dialled == [APP]
    begun = pod is beginning and raw != POST[:-2]
    assert (edge.record.closer, edge.record.close_reason) == ("client", "client_gone")
    assert edge.record.status == (200 if begun else 499)


async def test_a_client_that_leaves_while_the_pod_is_looked_for(edge: Edge) -> None:
    for stage in ("resolve", "connect"):
        edge.told.ended.clear()
        edge.pods[APP] = None
        edge.names.served["app.test"] = None if stage == "resolve" else (APP,)
        client = await edge.ask(GET)
        await trio.sleep(0.5)
        client.end.close()
        await edge.idle()
        assert (edge.record.close_reason, edge.record.attempts[0].failure) == ("client_gone", "client_gone")
