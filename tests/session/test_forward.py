"""Plain HTTP through the edge: how heads and bodies are framed on either side, and what a body is at most."""

from __future__ import annotations

import math
from ipaddress import ip_network

import pytest
import trio

from splicer.errors import ConnectRefused
from tests.kit.http import Message, read_request
from tests.session.edge import APP, SPARE, Edge, answering, fallback_route, route, upstream
from tests.session.message import GET, OK, PUT, answer, chunk, chunks, read_answer, request
from tests.session.pods import noting
from tests.session.wire import Peer

BIG = bytes(range(256)) * 1024  # more than any buffer on the way


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


@pytest.mark.parametrize(("own", "status"), [(9, 413), (10, 200), (math.inf, 200)])
async def test_a_route_has_a_limit_of_its_own(edge: Edge, own: float, status: int) -> None:
    edge.use(route(body_bytes=own), body_bytes=1)
    edge.pods[APP] = answering(OK)
    bodies = (
        request("PUT", "Content-Length: 10", body=b"x" * 10),
        request("PUT", "Transfer-Encoding: chunked", body=chunk(b"x" * 10) + b"0\r\n\r\n"),
    )
    for body in bodies:
        assert (await read_answer(await edge.ask(body))).status == status


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
