"""Pods' connections from the pool: which request may have which, and what happens when it has died meanwhile."""

from __future__ import annotations

import pytest
import trio

from splicer.errors import ConnectRefused
from splicer.model import Endpoint
from tests.kit.http import read_head, read_request
from tests.session.edge import APP, SPARE, Edge, answering, fallback_route, playing, route
from tests.session.message import GET, OK, POST, PUT, SWITCHING, UPGRADE, answer, read_answer
from tests.session.wire import Peer

ENDPOINT = Endpoint("app.test", APP, 8000)


async def one_then_close(pod: Peer) -> None:
    await read_request(pod)
    await pod.send(OK)
    await read_head(pod)
    pod.end.close()


async def one_then_reset(pod: Peer) -> None:
    await read_request(pod)
    await pod.send(OK)
    await read_head(pod)
    pod.end.reset()


async def test_a_clean_connection_serves_again(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    for _ in range(5):
        assert (await read_answer(await edge.ask(GET))).body == b"ok"
    assert edge.dialled == [APP]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
async def test_what_can_be_repeated_may_ride(edge: Edge, method: str) -> None:
    edge.pods[APP] = answering(b"HTTP/1.1 204 No\r\n\r\n")
    for _ in range(2):
        await read_answer(await edge.ask(GET.replace(b"GET", method.encode())))
    assert edge.dialled == [APP]


@pytest.mark.parametrize("raw", [POST, PUT, POST.replace(b"4", b"0")[:-4], GET.replace(b"GET", b"PATCH")])
async def test_what_can_not_be_repeated_gets_a_connection_of_its_own(edge: Edge, raw: bytes) -> None:
    edge.pods[APP] = answering(OK)
    for _ in range(2):
        await read_answer(await edge.ask(GET))
        await read_answer(await edge.ask(raw))
    assert edge.dialled == [APP] * 3


@pytest.mark.parametrize("pod_closes", [True, False])
async def test_a_connection_for_one_request_is_the_pods_to_close(edge: Edge, pod_closes: bool) -> None:
    """Who closes first keeps its port for a minute; a reset, of one that does not, keeps it for nobody."""
    heads = []

    async def told_to_close(pod: Peer) -> None:
        heads.append(await read_head(pod))
        await pod.exactly(4)
        await pod.send(OK)
        if pod_closes:
            pod.end.close()
        else:
            assert await pod.was_reset()

    edge.pods[APP] = told_to_close
    assert (await read_answer(await edge.ask(POST))).body == b"ok"
    assert heads[0].get("Connection") == "close"
    assert len(edge.context.pool) == 0
    await trio.sleep(2)
    assert edge.streams[1].ended == ("close" if pod_closes else "reset")


async def test_one_that_can_serve_again_is_kept_open_on_both_sides(edge: Edge) -> None:
    heads = []

    async def kept(pod: Peer) -> None:
        heads.append(await read_head(pod))
        await pod.send(OK)

    edge.pods[APP] = kept
    await read_answer(await edge.ask(GET))
    assert heads[0].get("Connection") is None
    assert len(edge.context.pool) == 1
    assert len(edge.context.closing) == 0


# Many a pod closes after each answer, and says so.
async def test_a_pod_that_says_it_closes_is_waited_for(edge: Edge) -> None:
    async def closing(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        await trio.sleep(0.5)
        pod.end.close()

    edge.pods[APP] = closing
    assert (await read_answer(await edge.ask(GET))).body == b"ok"
    assert edge.streams[1].ended is None
    await trio.sleep(1)
    assert edge.streams[1].ended == "close"


@pytest.mark.parametrize("stale", [one_then_close, one_then_reset])
async def test_a_connection_that_dies_in_use_is_replaced(edge: Edge, stale: object) -> None:
    """That a pod has closed an idle connection says nothing about the pod: the fallback has no part in it."""
    edge.use(fallback_route())
    edge.pods[APP] = playing(stale, answering(answer(b"fresh")))  # type: ignore[arg-type]  # both are scripts
    assert (await read_answer(await edge.ask(GET))).body == b"ok"
    edge.told.ended.clear()
    assert (await read_answer(await edge.ask(GET))).body == b"fresh"
    assert edge.dialled == [APP, APP]
    assert [(attempt.upstream, attempt.failure) for attempt in edge.record.attempts] == [("app", None)]


async def test_a_connection_that_dies_in_its_answer_is_a_failure(edge: Edge) -> None:
    async def dying(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(OK)
        await read_head(pod)
        await pod.send(b"HTTP/1.1 200")
        pod.end.close()

    edge.use(fallback_route())
    edge.pods |= {APP: dying, SPARE: answering(answer(b"spare"))}
    assert (await read_answer(await edge.ask(GET))).body == b"ok"
    assert (await read_answer(await edge.ask(GET))).body == b"spare"
    assert edge.dialled == [APP, SPARE]


async def test_the_pod_behind_a_dead_connection_may_be_gone(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.pods |= {APP: one_then_close, SPARE: answering(answer(b"spare"))}
    assert (await read_answer(await edge.ask(GET))).body == b"ok"
    edge.pods[APP] = ConnectRefused("no")
    assert (await read_answer(await edge.ask(GET))).body == b"spare"


async def test_the_pod_behind_a_dead_connection_may_have_moved(edge: Edge) -> None:
    """It was recreated with a new address: that is asked for before the fallback is."""
    edge.use(fallback_route())
    edge.names.cache["app.test"] = ("10.0.9.9",)
    edge.pods |= {"10.0.9.9": one_then_close, APP: answering(answer(b"moved")), SPARE: answering(answer(b"spare"))}
    assert (await read_answer(await edge.ask(GET))).body == b"ok"
    edge.pods["10.0.9.9"] = ConnectRefused("no")
    assert (await read_answer(await edge.ask(GET))).body == b"moved"
    assert edge.dialled == ["10.0.9.9", "10.0.9.9", APP]


@pytest.mark.parametrize("noise", [b"HTTP/1.1 408 Timeout\r\nContent-Length: 4\r\n\r\nevil", b"\r\n", b""])
async def test_a_connection_that_has_spoken_unasked_is_not_used(edge: Edge, noise: bytes) -> None:
    async def talking(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(OK)
        await trio.sleep(1)
        await pod.send(noise)
        if not noise:
            pod.end.close()

    edge.pods[APP] = playing(talking, answering(answer(b"good")))
    assert (await read_answer(await edge.ask(GET))).body == b"ok"
    assert len(edge.context.pool) == 1
    await trio.sleep(2)
    assert (await read_answer(await edge.ask(GET))).body == b"good"
    assert edge.dialled == [APP, APP]
    assert edge.streams[1].ended == "close"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\n",
    ],
)
async def test_what_is_not_clean_is_not_kept(edge: Edge, raw: bytes) -> None:
    edge.pods[APP] = answering(raw)
    for _ in range(2):
        assert (await read_answer(await edge.ask(GET))).body == b"ok"
        assert len(edge.context.pool) == 0
    assert edge.dialled == [APP, APP]


async def test_a_connection_on_which_a_body_is_still_being_sent_is_not_kept(edge: Edge) -> None:
    """The pod answers while the last chunk waits for room: whoever got that connection next would end the chunk."""
    edge.capacity = 1000

    async def hasty(pod: Peer) -> None:
        await read_head(pod)
        await trio.sleep(1)
        assert pod.end.unread == edge.capacity
        await pod.send(OK)
        await trio.sleep_forever()

    body = b"%x\r\n%s\r\n0\r\n\r\n" % (5000, b"x" * 5000)
    for size in range(990, 1001):  # whatever the head's size, one of these fills the pipe within the last chunk
        edge.pods[APP] = hasty
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
        client = await edge.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, body)
            assert (await read_answer(client)).status == 200
        assert len(edge.context.pool) == 0


async def test_an_upgrade_never_rides(edge: Edge) -> None:
    edge.use(route(upgrade=("websocket",)))
    edge.pods[APP] = answering(OK)
    await read_answer(await edge.ask(GET))
    edge.pods[APP] = answering(SWITCHING)
    assert (await read_answer(await edge.ask(UPGRADE))).status == 101
    assert edge.dialled == [APP, APP]


async def test_a_connection_that_was_asked_for_an_upgrade_is_not_kept(edge: Edge) -> None:
    edge.use(route(upgrade=("websocket",)))
    edge.pods[APP] = answering(answer(b"no", "403 Forbidden"))
    assert (await read_answer(await edge.ask(UPGRADE))).status == 403
    assert len(edge.context.pool) == 0


async def test_a_used_connection_is_counted_at_its_endpoint(edge: Edge) -> None:
    async def slow(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(OK)
        await read_request(pod)
        await trio.sleep(1)
        await pod.send(OK)

    edge.pods[APP] = slow
    await read_answer(await edge.ask(GET))
    client = await edge.ask(GET)
    await trio.sleep(0.5)
    assert edge.context.balancer.live(ENDPOINT) == 1
    await read_answer(client)
    assert edge.context.balancer.live(ENDPOINT) == 0
