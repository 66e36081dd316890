"""Plain HTTP through the edge: informational answers, and the client that waits for 100 before it sends its body."""

from __future__ import annotations

import pytest
import trio

from tests.kit.http import Message, read_head, read_request
from tests.session.edge import APP, SPARE, Edge, answering, fallback_route
from tests.session.message import GET, OK, answer, read_answer, request
from tests.session.wire import Peer


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
