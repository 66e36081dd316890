"""Plain HTTP through the edge: an answer that breaks off, and bytes of a pod that belong to no answer."""

from __future__ import annotations

import pytest
import trio

from splicer.errors import ConnectRefused
from tests.kit.http import read_head, read_request
from tests.session.edge import APP, SPARE, Edge, answering, fallback_route
from tests.session.message import GET, OK, PUT, answer, read_answer, request
from tests.session.wire import Peer, StreamEnded

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
