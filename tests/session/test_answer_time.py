"""How long an answer of plain HTTP may take: as long as it flows."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from tests.kit.http import read_request
from tests.session.edge import APP, Edge, answering, route
from tests.session.message import GET, UPGRADE, answer, read_answer
from tests.session.wire import Peer, drip


@pytest.mark.parametrize("request_bytes", [GET, UPGRADE], ids=["http", "upgrade"])
@pytest.mark.parametrize(
    ("own", "seconds", "reason"),
    [
        ({}, 60, "response_idle_deadline"),
        ({"response_idle": 9}, 9, "response_idle_deadline"),
        ({"response": 7}, 7, "response_deadline"),
        ({"response": 7, "response_idle": 9}, 7, "response_deadline"),
        ({"response": 9, "response_idle": 7}, 7, "response_idle_deadline"),
    ],
)
async def test_an_answer_that_has_begun_is_cut(
    edge: Edge, request_bytes: bytes, own: dict[str, float], seconds: float, reason: str
) -> None:
    edge.use(route(upgrade=("websocket",), deadlines=own))
    edge.pods[APP] = answering(answer(b"0123456789")[:-4])
    client = await edge.ask(request_bytes)
    assert (await client.rest()).endswith(b"\r\n\r\n012345")
    assert trio.current_time() == pytest.approx(seconds)
    assert (edge.record.status, edge.record.close_reason) == (200, reason)
    assert (edge.record.to_client, edge.record.closer) == (6, "proxy")


async def test_an_answer_that_is_cut_is_not_the_clients_fault(edge: Edge) -> None:
    async def hasty(pod: Peer) -> None:
        await pod.until(b"\r\n\r\n")
        await pod.send(answer(b"0123456789")[:-4])

    edge.pods[APP] = hasty
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
    assert (await client.rest()).endswith(b"\r\n\r\n012345")
    assert edge.record.close_reason == "response_idle_deadline"


async def test_an_answer_that_the_client_does_not_take_is_cut_in_its_last_piece(edge: Edge) -> None:
    edge.pods[APP] = answering(answer(b"x" * 500))
    edge.capacity = 100
    client = edge.connect()
    edge.capacity = 10_000  # the pod's answer comes whole
    await client.send(GET)
    await trio.sleep(70)
    assert b"408" not in await client.rest()
    assert edge.told.times == [pytest.approx(60)]
    assert (edge.record.status, edge.record.close_reason, edge.record.closer) == (200, "client_stalled", "proxy")


async def test_an_answer_that_the_client_does_not_take_is_cut_between_two_pieces(edge: Edge) -> None:
    edge.capacity = 100

    async def flowing(pod: Peer) -> None:
        await read_request(pod)
        head, blank, body = answer(b"x" * 500).partition(b"\r\n\r\n")
        await pod.send(head + blank)
        await drip(pod, body, 1)

    edge.pods[APP] = flowing
    client = await edge.ask(GET)
    await trio.sleep(200)
    await client.rest()
    assert (edge.record.status, edge.record.close_reason) == (200, "client_stalled")


async def test_an_answer_that_flows_is_not_cut(edge: Edge) -> None:
    async def slow(pod: Peer) -> None:
        await read_request(pod)
        head, blank, body = answer(b"x" * 40).partition(b"\r\n\r\n")
        await pod.send(head + blank)
        await drip(pod, body, 59)

    edge.pods[APP] = slow
    assert (await read_answer(await edge.ask(GET))).body == b"x" * 40
    assert trio.current_time() >= 39 * 59


async def test_a_pod_may_be_silent_while_it_reads_the_request(edge: Edge) -> None:
    async def early(pod: Peer) -> None:
        await pod.until(b"\r\n\r\n")
        head, blank, body = answer(b"done").partition(b"\r\n\r\n")
        await pod.send(head + blank)
        await pod.exactly(20)
        await pod.send(body)

    edge.pods[APP] = early
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
    await client.until(b"\r\n\r\n")
    await drip(client, b"x" * 20, 10)
    assert await client.exactly(4) == b"done"
    assert trio.current_time() >= 190


async def test_a_request_that_flows_hides_no_client_that_takes_nothing(edge: Edge) -> None:
    edge.capacity = 100

    async def early(pod: Peer) -> None:
        await pod.until(b"\r\n\r\n")
        await pod.send(answer(b"x" * 150))
        await pod.exactly(2000)

    edge.pods[APP] = early
    client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")
    with suppress(trio.BrokenResourceError):
        await drip(client, b"x" * 200, 10)
    assert edge.told.times[0] == pytest.approx(60, abs=10)
    assert edge.record.close_reason == "client_stalled"
