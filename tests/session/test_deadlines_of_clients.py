"""How long a session waits for its client: for a head, for the pieces of a body, and for it to read."""

from __future__ import annotations

import math

import pytest
import trio

from tests.kit.http import read_request
from tests.session.edge import APP, SPARE, Edge, answering, fallback_route, route
from tests.session.message import GET, OK, read_answer
from tests.session.wire import Peer, drip


@pytest.mark.parametrize("own", [None, 4.0])
async def test_a_head_must_come_whole_in_time(edge: Edge, own: float | None) -> None:
    edge.use(route(deadlines={} if own is None else {"head": own}))
    client = edge.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip, client, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100, 0.9)
        told = await read_answer(client)
        nursery.cancel_scope.cancel()
    assert (told.status, told.get("Connection")) == (408, "close")
    assert trio.current_time() == pytest.approx(own or 10)
    client.end.close()
    assert (edge.record.status, edge.record.close_reason, edge.record.closer) == (408, "head_deadline", "proxy")


@pytest.mark.parametrize("blank", [b"", b"\r\n", b"\r\n\r"])
async def test_a_client_that_asks_nothing_hears_nothing(edge: Edge, blank: bytes) -> None:
    """Browsers open connections ahead of need: an unasked 408 would be taken for the answer to what they ask next."""
    client = await edge.ask(blank)
    assert await client.rest() == b""
    assert trio.current_time() == pytest.approx(10)
    assert edge.told.ended == []


@pytest.mark.parametrize("own", [None, 5.0])
async def test_an_idle_connection_is_closed_in_silence(edge: Edge, own: float | None) -> None:
    edge.use(route("path", "/other"), route(deadlines={} if own is None else {"keepalive": own}))
    edge.pods[APP] = answering(OK)
    client = await edge.ask(GET)
    await read_answer(client)
    assert await client.rest() == b""
    assert trio.current_time() == pytest.approx(own or 75)
    assert len(edge.told.ended) == 1


async def test_the_head_deadline_counts_from_the_first_byte_on_an_idle_connection(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(GET)
    await read_answer(client)
    await trio.sleep(60)
    await client.send(GET[:-1])
    await trio.sleep(9)
    await client.send(GET[-1:])
    assert (await read_answer(client)).status == 200
    await client.send(b"GET")
    assert (await read_answer(client)).status == 408
    assert trio.current_time() == pytest.approx(79)


async def test_who_does_not_read_a_refusal_is_not_waited_for(edge: Edge) -> None:
    edge.capacity = 10
    client = edge.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, b"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n")
    await edge.idle()
    assert trio.current_time() <= 10
    assert edge.record.status == 400


async def test_lingering_is_bounded_in_time(edge: Edge) -> None:
    client = await edge.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
    assert (await read_answer(client)).status == 413
    with pytest.raises(trio.BrokenResourceError):
        await drip(client, b"x" * 1000, 0.1)
    assert 1 <= trio.current_time() <= 6


async def test_a_client_that_sends_its_whole_body_first_still_gets_its_refusal(edge: Edge) -> None:
    client = await edge.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n")
    for _ in range(20):
        await client.send(b"x" * 1_000_000)
    assert (await read_answer(client)).status == 413
    assert await client.rest() == b""


# ---- the pieces of a request body ----


def begun(*, chunked: bool) -> bytes:
    if chunked:
        return b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbo"
    return b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nbo"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("own", [None, 7.0])
async def test_a_body_that_stops_is_not_waited_for_long(edge: Edge, own: float | None, chunked: bool) -> None:
    edge.use(fallback_route(deadlines={"response": math.inf} | ({} if own is None else {"body_idle": own})))
    edge.pods |= {APP: answering(OK), SPARE: answering(OK)}
    client = await edge.ask(begun(chunked=chunked))
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (408, "close")
    assert trio.current_time() == pytest.approx(own or 60)
    assert (edge.record.closer, edge.record.close_reason) == ("proxy", "body_deadline")
    assert f"{own or 60:g} s" in (edge.record.detail or "")
    assert edge.dialled == [APP]


async def test_a_body_that_trickles_has_time_for_each_piece(edge: Edge) -> None:
    edge.use(route(deadlines={"response": math.inf, "body_idle": 5}))
    edge.pods[APP] = answering(OK)
    client = await edge.ask(begun(chunked=False))
    await drip(client, b"x" * 98, 4.9)
    assert (await read_answer(client)).status == 200


async def test_a_body_that_may_stop_for_ever(edge: Edge) -> None:
    edge.use(route(deadlines={"response": math.inf, "body_idle": math.inf}))
    edge.pods[APP] = answering(OK)
    client = await edge.ask(begun(chunked=False))
    await trio.sleep(900)
    await client.send(b"x" * 98)
    assert (await read_answer(client)).status == 200


async def test_a_pod_that_takes_its_time_to_read_is_not_the_clients_fault(edge: Edge) -> None:
    edge.use(route(deadlines={"response": math.inf, "body_idle": 5}))
    edge.capacity = 1000

    async def slow(pod: Peer) -> None:
        await trio.sleep(100)
        await read_request(pod)
        await pod.send(OK)

    edge.pods[APP] = slow
    client = edge.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n" + bytes(90_000))
        assert (await read_answer(client)).status == 200
        assert trio.current_time() >= 100


async def test_who_has_got_an_answer_need_not_go_on_with_its_body(edge: Edge) -> None:
    edge.use(route(deadlines={"response": math.inf, "body_idle": 5}))

    async def early(pod: Peer) -> None:
        await pod.until(b"bo")
        await pod.send(b"HTTP/1.1 403 No\r\nContent-Length: 20\r\n\r\n")
        await drip(pod, b"x" * 20, 3)

    edge.pods[APP] = early
    client = await edge.ask(begun(chunked=False))
    told = await read_answer(client)
    assert (told.status, told.body) == (403, b"x" * 20)
