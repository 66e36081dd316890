"""A connection that came in over the limit: it may ask once, and what needs a pod needs a place."""

from __future__ import annotations

import pytest
from trio.testing import wait_all_tasks_blocked

from splicer.model import Respond
from tests.kit.http import read_head
from tests.session.edge import APP, CLIENT, Edge, answering, route
from tests.session.message import GET, OK, POST, SWITCHING, UPGRADE, read_answer
from tests.session.wire import Peer

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def use(edge: Edge, *, room: bool) -> list[bool]:
    """Routes to a pod, and one that needs none; what was said to each who asked for a place."""
    said: list[bool] = []

    def may_use_pod() -> bool:
        said.append(room)
        return room

    edge.use(route("path", "/health", respond=Respond(200, b"healthy\n")), route(upgrade=("websocket",)))
    edge.context.may_use_pod = may_use_pod
    return said


async def ask(edge: Edge, raw: bytes) -> Peer:
    client = edge.connect(over=True)
    await client.send(raw)
    return client


async def test_what_needs_no_pod_is_answered_once(edge: Edge) -> None:
    said = use(edge, room=False)
    client = await ask(edge, HEALTH * 2)
    told = await read_answer(client)
    assert (told.status, told.body, told.get("Connection")) == (200, b"healthy\n", "close")
    assert await client.rest() == b""
    assert (len(edge.told.ended), edge.told.refused, said) == (1, [], [])


@pytest.mark.parametrize("raw", [GET, POST, UPGRADE])
async def test_what_needs_a_pod_is_refused(edge: Edge, raw: bytes) -> None:
    use(edge, room=False)
    client = await ask(edge, raw)
    told = await read_answer(client)
    assert (told.status, told.get("Connection"), told.get("Retry-After")) == (503, "close", "1")
    assert await client.rest() == b""
    assert edge.record.close_reason == "too_many_connections"
    assert [(peer, error.reason) for peer, error in edge.told.refused] == [(CLIENT, "too_many_connections")]
    assert edge.dialled == []


@pytest.mark.parametrize("raw", [b"GET /health HTTP/1.1\r\n\r\n", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00"])
async def test_what_is_wrong_is_told_and_ends_it(edge: Edge, raw: bytes) -> None:
    use(edge, room=False)
    client = await ask(edge, raw)
    told = await read_answer(client)
    assert told.get("Connection") == "close"
    assert edge.told.refused == []


async def test_who_has_got_a_place_keeps_it(edge: Edge) -> None:
    said = use(edge, room=True)
    edge.pods[APP] = answering(OK)
    client = await ask(edge, GET)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (200, None)
    await client.send(HEALTH + GET)
    for _ in range(2):
        told = await read_answer(client)
        assert (told.status, told.get("Connection")) == (200, None)
    assert said == [True]


async def test_a_call_may_get_a_place(edge: Edge) -> None:
    use(edge, room=True)

    async def switching(pod: Peer) -> None:
        await read_head(pod)
        await pod.send(SWITCHING)

    edge.pods[APP] = switching
    client = await ask(edge, UPGRADE)
    assert (await read_head(client)).status == 101


async def test_who_came_in_below_the_limit_is_not_asked(edge: Edge) -> None:
    said = use(edge, room=False)
    edge.pods[APP] = answering(OK)
    assert (await read_answer(await edge.ask(GET))).status == 200
    await wait_all_tasks_blocked()
    assert said == []
