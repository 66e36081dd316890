"""Plain HTTP through the edge: framing, streaming, order, and what a broken side does to the other."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
import trio

from splicer.errors import ConnectRefused
from tests.kit.http import Message, read_head, read_request
from tests.session.edge import APP, SPARE, Edge, Script, answering, fallback_route, route, upstream
from tests.session.message import GET, OK, POST, PUT, answer, read_answer
from tests.session.wire import Peer, StreamEnded

BIG = bytes(range(256)) * 1024  # more than any buffer on the way


def request(method: str = "GET", *fields: str, version: str = "1.1", body: bytes = b"") -> bytes:
    head = "\r\n".join((f"{method} /x HTTP/{version}", "Host: edge.test", *fields, "", ""))
    return head.encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunks(data: bytes, trailers: bytes = b"") -> bytes:
    """In pieces of many sizes."""
    out, size = b"", 1
    while data:
        out += chunk(data[:size])
        data, size = data[size:], size * 3
    return out + b"0\r\n" + trailers + b"\r\n"


def noting(requests: list[Message], raw: bytes = OK) -> Script:
    async def script(pod: Peer) -> None:
        while True:
            requests.append(await read_request(pod))
            await pod.send(raw)

    return script


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 70_000, BIG], ids=len)
async def test_a_body_with_a_length_comes_whole(edge: Edge, body: bytes) -> None:
    requests: list[Message] = []
    edge.pods[APP] = noting(requests, answer(body))
    client = edge.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, request("POST", f"Content-Length: {len(body)}", body=body))
        told = await read_answer(client)
    assert (told.body, told.ended) == (body, "length")
    assert (requests[0].body, requests[0].ended) == (body, "length")
    assert (edge.record.to_pod, edge.record.to_client) == (len(body), len(body))


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 70_000, BIG], ids=len)
async def test_a_chunked_body_comes_whole(edge: Edge, body: bytes) -> None:
    requests: list[Message] = []
    edge.pods[APP] = noting(requests, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(body))
    client = edge.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, request("POST", "Transfer-Encoding: chunked", body=chunks(body)))
        told = await read_answer(client)
    assert (told.body, told.ended) == (body, "chunks")
    assert (requests[0].body, requests[0].ended) == (body, "chunks")
    assert (edge.record.to_pod, edge.record.to_client) == (len(body), len(body))


async def test_trailers_go_both_ways(edge: Edge) -> None:
    requests: list[Message] = []
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"abc", b"X-Sum: 6\r\nx-a: b\r\n")
    edge.pods[APP] = noting(requests, raw)
    client = await edge.ask(
        request("POST", "Transfer-Encoding: chunked", body=chunks(b"xyz", b"X-Sum: 7\r\nHost: evil\r\n"))
    )
    told = await read_answer(client)
    assert told.trailers == b"X-Sum: 6\r\nx-a: b\r\n"
    assert requests[0].trailers == b"X-Sum: 7\r\n"


@pytest.mark.parametrize(("count", "status"), [(100, 200), (101, 431)])
async def test_a_request_has_so_many_trailers_and_no_more(edge: Edge, count: int, status: int) -> None:
    requests: list[Message] = []
    edge.pods[APP] = noting(requests)
    raw = request("POST", "Transfer-Encoding: chunked", body=chunks(b"xyz", b"a: b\r\n" * count))
    client = await edge.ask(raw)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (status, None if status == 200 else "close")
    assert [message.trailers.count(b"\r\n") for message in requests] == ([100] if status == 200 else [])
    assert edge.record.status == status


@pytest.mark.parametrize("first", [b"", b"3\r\nabc\r\n"])
async def test_an_answer_with_too_many_trailers_is_a_bad_one(edge: Edge, first: bytes) -> None:
    async def verbose(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + first)
        await trio.sleep(1)
        await pod.send(b"0\r\n" + b"a: b\r\n" * 101 + b"\r\n")

    edge.pods[APP] = verbose
    client = await edge.ask(GET)
    assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert await client.rest() == first  # and no end of it
    assert (edge.record.status, edge.record.close_reason) == (200, "bad_answer")


async def test_a_body_that_the_pods_close_ends_is_chunked_for_the_client(edge: Edge) -> None:
    edge.pods[APP] = answering(b"HTTP/1.0 200 OK\r\n\r\nall of it", close=True, times=1)
    client = await edge.ask(GET)
    told = await read_answer(client)
    assert (told.body, told.ended) == (b"all of it", "chunks")
    edge.pods[APP] = answering(OK)
    await client.send(GET)
    assert (await read_answer(client)).body == b"ok"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 2\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]
)
async def test_an_http_10_client_gets_a_body_up_to_the_close(edge: Edge, framing: bytes) -> None:
    edge.pods[APP] = answering(b"HTTP/1.1 200 OK\r\n" + framing)
    client = await edge.ask(b"GET / HTTP/1.0\r\n\r\n")
    told = await read_answer(client)
    assert told.body == b"ok"
    assert (told.get("Transfer-Encoding"), told.get("Connection")) == (None, "close")
    assert await client.rest() == b""


@pytest.mark.parametrize(
    ("host", "address", "told"),
    [
        ("::1", "::1", "[::1]:8000"),
        ("10.0.0.1", APP, "10.0.0.1:8000"),
        ("app.test", APP, "app.test:8000"),
        ("{pod}.x.test", APP, "voice-agent-1.x.test:8000"),
    ],
)
async def test_a_request_without_a_host_gets_that_of_the_upstream(
    edge: Edge, host: str, address: str, told: str
) -> None:
    requests: list[Message] = []
    allow = (ip_network("::1/128"), ip_network("10.0.0.0/8"))
    edge.use(route("regex", "/(?P<pod>[^/]+)", upstream=upstream("templated", host, allow=allow)))
    edge.names.served |= dict.fromkeys((host, "voice-agent-1.x.test"), (address,))
    edge.pods[address] = noting(requests)
    client = await edge.ask(b"GET /voice-agent-1 HTTP/1.0\r\n\r\n")
    assert (await read_answer(client)).status == 200
    assert requests[0].get("Host") == told


async def test_the_fallback_gets_its_own_host(edge: Edge) -> None:
    requests: list[Message] = []
    edge.use(fallback_route())
    edge.pods |= {APP: ConnectRefused("refused"), SPARE: noting(requests)}
    client = await edge.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (await read_answer(client)).status == 200
    assert requests[0].get("Host") == "spare.test:8000"


async def test_an_http_10_client_may_send_a_body(edge: Edge) -> None:
    requests: list[Message] = []
    edge.pods[APP] = noting(requests)
    client = await edge.ask(request("POST", "Content-Length: 3", version="1.0", body=b"abc"))
    assert (await read_answer(client)).body == b"ok"
    assert requests[0].body == b"abc"
    assert requests[0].line.endswith("HTTP/1.1")


@pytest.mark.parametrize(
    ("method", "raw", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "1000"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("HEAD", b"HTTP/1.1 404 No\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: x\r\n\r\n", "1000"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", None),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", None),
    ],
)
async def test_what_has_no_body_has_none_and_the_connection_goes_on(
    edge: Edge, method: str, raw: bytes, length: str | None
) -> None:
    edge.pods[APP] = answering(raw)
    client = await edge.ask(request(method))
    for _ in range(3):
        told = await read_answer(client, method)
        assert told.get("Content-Length") == length
        assert told.get("Transfer-Encoding") is None
        assert client.at_hand() == b""
        await client.send(request(method))
    assert edge.dialled == [APP]


async def test_order_and_case_of_fields_are_kept(edge: Edge) -> None:
    requests: list[Message] = []
    edge.pods[APP] = noting(requests, answer(b"", "200 Fine", "x-B: 1", "Set-Cookie: a", "SET-cookie: b", "X-a: 2"))
    client = await edge.ask(request("GET", "x-ZZ: 1", "Accept: */*", "x-zz: 2", "Connection: x-gone", "X-Gone: 1"))
    told = await read_answer(client)
    assert told.line == "HTTP/1.1 200 Fine"
    assert told.fields[:4] == [("x-B", "1"), ("Set-Cookie", "a"), ("SET-cookie", "b"), ("X-a", "2")]
    assert requests[0].line == "GET /x HTTP/1.1"
    names = [name for name, _ in requests[0].fields]
    assert names[:4] == ["Host", "x-ZZ", "Accept", "x-zz"]
    assert "X-Gone" not in names
    assert requests[0].get("X-Forwarded-For") == "192.0.2.7"
    assert requests[0].get("X-Request-ID") == edge.record.id


async def test_an_answer_of_100_is_asked_of_the_pod(edge: Edge) -> None:
    requests: list[Message] = []

    async def asking(pod: Peer) -> None:
        head = await read_head(pod)
        assert head.get("Expect") == "100-continue"
        await trio.sleep(0.5)
        assert pod.at_hand() == b""
        await pod.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        requests.append(Message(head.head, await pod.exactly(4)))
        await pod.send(OK)

    edge.pods[APP] = asking
    client = await edge.ask(request("POST", "Expect: 100-continue", "Content-Length: 4"))
    assert (await read_answer(client)).line == "HTTP/1.1 100 Continue"
    assert trio.current_time() == 0.5
    await client.send(b"body")
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (200, None)
    assert requests[0].body == b"body"


async def test_a_final_answer_instead_of_100(edge: Edge) -> None:
    async def refusing(pod: Peer) -> None:
        await read_head(pod)
        await pod.send(answer(b"no", "417 Expectation Failed"))

    edge.pods[APP] = refusing
    client = await edge.ask(request("POST", "Expect: 100-continue", "Content-Length: 4"))
    told = await read_answer(client)
    assert (told.status, told.body, told.get("Connection")) == (417, b"no", "close")
    await client.send(b"GET ")  # that is a body, and nobody reads it
    assert await client.rest() == b""
    assert len(edge.told.ended) == 1


EXPECTING = request("PUT", "Expect: 100-Continue", "Content-Length: 4")


@pytest.mark.parametrize("late", [False, True])
async def test_a_pod_that_does_not_say_100_is_spoken_for_after_a_second(edge: Edge, late: bool) -> None:
    async def reading(pod: Peer) -> None:
        await read_head(pod)
        if late:
            await trio.sleep(2)
            await pod.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await pod.exactly(4) == b"body"
        await pod.send(OK)

    edge.pods[APP] = reading
    client = await edge.ask(EXPECTING)
    told = await read_answer(client)
    assert (told.line, told.fields) == ("HTTP/1.1 100 Continue", [])
    assert trio.current_time() == pytest.approx(1)
    await trio.sleep(2)
    await client.send(b"body")
    told = await read_answer(client)  # it is told to go on once
    assert (told.status, told.get("Connection")) == (200, None)


async def test_who_does_not_wait_for_100_is_not_told_to_go_on(edge: Edge) -> None:
    edge.pods[APP] = slow_to_read
    client = await edge.ask(EXPECTING)
    await trio.sleep(0.5)
    await client.send(b"bo")
    await trio.sleep(5)
    assert client.at_hand() == b""
    await client.send(b"dy")
    assert (await read_answer(client)).status == 200


async def slow_to_read(pod: Peer) -> None:
    await read_request(pod)
    await trio.sleep(2)
    await pod.send(OK)


@pytest.mark.parametrize(
    "raw",
    [
        request("PUT", "Content-Length: 4"),
        request("PUT", "Expect: 100-continue", "Content-Length: 4", version="1.0"),
    ],
)
async def test_who_expects_no_100_gets_none(edge: Edge, raw: bytes) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(raw)
    await trio.sleep(5)
    assert client.at_hand() == b""
    await client.send(b"body")
    assert (await read_answer(client)).status == 200


async def test_who_was_told_to_go_on_is_not_told_again_by_another_pod(edge: Edge) -> None:
    async def leaving(pod: Peer) -> None:
        await read_request(pod)
        pod.end.reset()

    async def asking(pod: Peer) -> None:
        await read_head(pod)
        await pod.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await pod.exactly(4) == b"body"
        await pod.send(OK)

    edge.use(fallback_route())
    edge.pods |= {APP: leaving, SPARE: asking}
    client = await edge.ask(EXPECTING)
    assert (await read_answer(client)).status == 100
    await client.send(b"body")
    assert (await read_answer(client)).status == 200


async def test_hints_come_before_the_answer(edge: Edge) -> None:
    edge.pods[APP] = answering(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 More\r\n\r\n" + OK)
    client = await edge.ask(GET)
    first = await read_answer(client)
    assert (first.status, first.get("Link")) == (103, "</a>")
    assert (await read_answer(client)).line == "HTTP/1.1 103 More"
    assert (await read_answer(client)).body == b"ok"
    old = await edge.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (await read_answer(old)).body == b"ok"


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


async def silent(pod: Peer) -> None:
    await trio.sleep_forever()


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


async def test_the_body_is_over_the_limit(edge: Edge) -> None:
    edge.use(route(), body_bytes=10)
    edge.pods[APP] = answering(OK)
    assert (await read_answer(await edge.ask(PUT))).status == 200
    assert (await read_answer(await edge.ask(request("PUT", "Content-Length: 10", body=b"x" * 10)))).status == 200
    edge.dialled.clear()
    client = await edge.ask(request("PUT", "Content-Length: 11"))
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (413, "close")
    assert edge.dialled == []
    client = await edge.ask(request("PUT", "Transfer-Encoding: chunked", body=chunk(b"12345678")))
    await trio.sleep(1)
    await client.send(chunk(b"901"))
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (413, "close")
    await edge.idle()
    assert edge.told.ended[-1].close_reason == "body_too_large"
    assert edge.told.ended[-1].attempts[0].failure == "abandoned"
    assert edge.streams[-1].ended == "close"  # the pod's


async def test_a_limit_counts_the_body_not_its_framing(edge: Edge) -> None:
    edge.use(route(), body_bytes=100)
    edge.pods[APP] = answering(OK)
    body = b"".join(chunk(b"x") for _ in range(100)) + b"0\r\n\r\n"
    assert (await read_answer(await edge.ask(request("PUT", "Transfer-Encoding: chunked", body=body)))).status == 200


async def test_there_may_be_no_limit(edge: Edge) -> None:
    edge.use(route(), body_bytes=None)
    edge.pods[APP] = answering(OK)
    client = edge.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, request("PUT", "Content-Length: 20000000", body=bytes(20_000_000)))
        assert (await read_answer(client)).status == 200


@pytest.mark.parametrize("body", [b"zz\r\n", b"3\r\nabcde\r\n", b"-1\r\n", b"\r\n", b"3;\x00\r\nabc\r\n"])
async def test_a_chunk_that_is_none_is_a_bad_request(edge: Edge, body: bytes) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(request("PUT", "Transfer-Encoding: chunked", body=body) + GET)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (400, "close")
    assert await client.rest() == b""
    assert edge.record.close_reason == "bad_request"


TRUNCATED = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", "bad_answer"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n", "bad_answer"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n012", "bad_answer"),
]


@pytest.mark.parametrize(("raw", "reason"), TRUNCATED)
async def test_an_answer_that_breaks_off_is_cut(edge: Edge, raw: bytes, reason: str) -> None:
    async def breaking_off(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(raw)
        await trio.sleep(1)
        pod.end.close()

    edge.use(fallback_route())
    edge.pods[APP] = breaking_off
    client = await edge.ask(GET)
    with pytest.raises(StreamEnded):
        await read_answer(client)
    assert (edge.record.status, edge.record.closer, edge.record.close_reason) == (200, "pod", reason)
    assert edge.dialled == [APP]


@pytest.mark.parametrize("raw", [raw for raw, _ in TRUNCATED])
async def test_an_http_10_client_is_reset_only_where_nothing_else_says_that_it_is_cut(edge: Edge, raw: bytes) -> None:
    """It knows no chunks; but a length is told to it as it came, and then a reset would take back what has arrived."""

    async def breaking_off(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(raw)
        await trio.sleep(1)
        pod.end.reset()

    edge.pods[APP] = breaking_off
    client = await edge.ask(b"GET / HTTP/1.0\r\n\r\n")
    await edge.idle()
    if b"Content-Length" in raw:
        assert (await client.rest()).endswith(b"\r\n\r\n01234")
    else:
        assert await client.was_reset()
    assert edge.record.close_reason == "pod_reset"


async def _breaking_off_without_a_length(pod: Peer) -> None:
    await read_request(pod)
    await pod.send(b"HTTP/1.1 200 OK\r\n\r\n01234")
    await trio.sleep(1)
    pod.end.reset()


async def test_an_http_10_client_gets_what_had_come_before_the_reset(edge: Edge) -> None:
    edge.pods[APP] = _breaking_off_without_a_length
    client = await edge.ask(b"GET / HTTP/1.0\r\n\r\n")
    await trio.sleep(3)
    assert await client.until(b"\r\n\r\n01234")
    assert await client.was_reset()
    assert edge.record.close_reason == "pod_reset"


async def test_an_http_10_client_that_takes_nothing_is_reset_all_the_same(edge: Edge) -> None:
    edge.pods[APP] = _breaking_off_without_a_length
    client = await edge.ask(b"GET / HTTP/1.0\r\n\r\n")
    await edge.idle()
    assert await client.was_reset()
    assert edge.record.close_reason == "pod_reset"


async def test_what_came_before_a_cut_arrives_although_the_client_is_still_sending(edge: Edge) -> None:
    async def breaking_off(pod: Peer) -> None:
        await read_head(pod)
        await pod.send(TRUNCATED[0][0])
        await trio.sleep(1)
        pod.end.reset()

    edge.capacity = 1000
    edge.pods[APP] = breaking_off
    client = edge.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, request("PUT", "Content-Length: 50000", body=bytes(50_000)))
        await trio.sleep(2)
        assert (await client.rest()).endswith(b"\r\n\r\n01234")
    client.end.close()
    assert edge.record.close_reason == "pod_reset"


async def test_an_answer_that_breaks_off_before_a_byte_was_relayed_is_502(edge: Edge) -> None:
    edge.pods[APP] = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    client = await edge.ask(GET)
    told = await read_answer(client)
    assert (told.status, edge.record.status) == (502, 502)
    edge.pods[APP] = answering(OK)
    await client.send(GET)
    assert (await read_answer(client)).status == 200


async def test_what_a_pod_says_too_much_reaches_nobody(edge: Edge) -> None:
    edge.pods[APP] = answering(OK + answer(b"evil"))
    client = await edge.ask(GET)
    for _ in range(3):
        assert (await read_answer(client)).body == b"ok"
        assert len(edge.context.pool) == 0
        await client.send(GET)
    assert (await read_answer(client)).body == b"ok"
    assert edge.dialled == [APP] * 4


@pytest.mark.parametrize(
    "lie", [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"]
)
async def test_a_101_that_nobody_asked_for(edge: Edge, lie: bytes) -> None:
    edge.pods[APP] = answering(lie + OK)
    assert (await read_answer(await edge.ask(GET))).status == 502


async def test_a_refusal_keeps_the_connection_when_the_body_was_read(edge: Edge) -> None:
    edge.pods[APP] = answering(b"nonsense\r\n\r\n")
    client = await edge.ask(PUT)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (502, None)
    edge.pods[APP] = ConnectRefused("no")
    await client.send(PUT)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (502, "close")


async def test_the_fallbacks_answer_is_not_mixed_with_the_first_ones(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.pods |= {APP: answering(answer(b"never seen", "503 Busy", "X-First: 1")), SPARE: answering(answer(b"seen"))}
    told = await read_answer(await edge.ask(GET))
    assert (told.body, told.get("X-First")) == (b"seen", None)
