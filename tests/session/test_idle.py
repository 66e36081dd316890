"""Client connections without a request: who of them makes room, and when all of them must end."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import NoDescriptor
from splicer.model import Endpoint
from splicer.net.stream import ByteStream
from splicer.relay.leg import TunnelEnd
from splicer.session import idle
from tests.session.edge import APP, Edge, answering, route
from tests.session.message import GET, OK, POST, SWITCHING, UPGRADE, read_answer, read_head
from tests.session.wire import Peer


async def idling(edge: Edge) -> Peer:
    """A client whose request has been answered."""
    edge.pods[APP] = answering(OK)
    client = await edge.ask(GET)
    await read_answer(client)
    return client


async def opening(pod: Peer) -> None:
    await read_head(pod)
    await pod.send(SWITCHING)


class FullVault:
    """It takes nothing."""

    async def register(self, *_: object) -> None:
        raise OSError(errno.EMFILE, "the vault has no descriptor left")

    def release(self, key: int, *, soon: bool, then: Callable[[], None], after: Callable[[], None]) -> None:
        then()
        after()


async def is_served(client: Peer) -> bool:
    await client.send(GET)
    return (await read_answer(client)).status == 200


async def test_the_longest_idle_connection_makes_room(edge: Edge) -> None:
    first, second, third = [await idling(edge) for _ in range(3)]
    assert await is_served(first)  # and idles from now
    assert edge.house.idle.make_room()
    assert await second.rest() == b""
    assert await is_served(first)
    assert await is_served(third)


async def test_each_place_is_another_ones(edge: Edge) -> None:
    clients = [await idling(edge) for _ in range(3)]
    assert [edge.house.idle.make_room() for _ in range(4)] == [True, True, True, False]
    await wait_all_tasks_blocked()
    assert edge.house.counts.active == 0
    for client in clients:
        assert await client.rest() == b""


async def test_several_may_make_room_at_once(edge: Edge) -> None:
    first, second, third = [await idling(edge) for _ in range(3)]
    assert edge.house.idle.make_room(2)
    assert (await first.rest(), await second.rest()) == (b"", b"")
    assert await is_served(third)
    assert edge.house.idle.make_room(2)
    assert await third.rest() == b""
    assert edge.house.idle.ended == 3


async def test_a_connection_with_a_request_keeps_its_place(edge: Edge) -> None:
    waiting, asking = await idling(edge), await idling(edge)
    del waiting  # it has come first
    edge.pods[APP] = None
    busy = await edge.ask(POST)  # it rides no idle connection to a pod
    partial = await edge.ask(GET[:5])
    await wait_all_tasks_blocked()
    await asking.send(GET)  # and its task hasn't run yet
    assert edge.house.idle.make_room()
    assert not edge.house.idle.make_room()
    await wait_all_tasks_blocked()
    assert edge.house.counts.active == 3
    for client in (busy, partial, asking):
        assert client.end._incoming.eof is False


async def test_a_request_that_comes_as_the_wait_ends_is_served(edge: Edge) -> None:
    client = await idling(edge)
    edge.house.idle.make_room()
    await client.send(GET)
    assert (await read_answer(client)).status == 200


async def test_few_are_asked_for_one_place(edge: Edge) -> None:
    """Each look is a system call; those that have something to say will be served in a moment."""
    clients = [await idling(edge) for _ in range(idle._LOOKS + 1)]
    for client in clients[:-1]:
        await client.send(GET)
    assert not edge.house.idle.make_room()
    assert (await read_answer(clients[0])).status == 200


async def test_who_connects_and_asks_nothing_makes_room_after_a_second(edge: Edge) -> None:
    client = edge.connect()
    await trio.sleep(0.9)
    assert not edge.house.idle.make_room()
    await trio.sleep(0.2)
    assert edge.house.idle.make_room()
    assert await client.rest() == b""
    assert edge.told.ended == []


@pytest.mark.parametrize("head", [0.5, 1.0, 4.0, math.inf])
async def test_who_connects_and_asks_nothing_has_the_time_of_a_head(edge: Edge, head: float) -> None:
    edge.use(route(deadlines={"head": head}))
    client = edge.connect()
    with trio.move_on_after(100):
        await client.rest()
    assert trio.current_time() == pytest.approx(min(100, head))


async def test_all_waits_can_be_made_to_end_soon(edge: Edge) -> None:
    edge.use(route(deadlines={"keepalive": 60, "head": 60}))
    edge.pods[APP] = answering(OK)
    waiting, silent = await idling(edge), edge.connect()
    await trio.sleep(10)
    edge.house.idle.end_within(5)
    later = edge.connect()  # accepted, and taken care of only now
    await trio.sleep(3)
    assert await is_served(later)
    for client, ended in ((waiting, 15), (silent, 15), (later, 18)):
        assert await client.rest() == b""
        assert trio.current_time() == pytest.approx(ended)


async def test_a_wait_that_ends_sooner_anyway_is_not_made_longer(edge: Edge) -> None:
    edge.use(route(deadlines={"keepalive": 2}))
    client = await idling(edge)
    edge.house.idle.end_within(5)
    assert await client.rest() == b""
    assert trio.current_time() == pytest.approx(2)


# ---- descriptors ----


async def test_an_idle_client_makes_room_for_a_connection_to_a_pod(edge: Edge) -> None:
    waiting = await idling(edge)
    dial = edge.house.dial

    async def scarce(endpoint: Endpoint) -> ByteStream:
        if edge.house.counts.active > 1:
            raise NoDescriptor("Too many open files")
        return await dial(endpoint)

    edge.house.dial = scarce
    assert (await read_answer(await edge.ask(POST))).status == 200
    assert await waiting.rest() == b""


async def test_an_idle_client_makes_room_for_a_pipe(edge: Edge) -> None:
    edge.use(route(upgrade=("websocket",)))
    waiting = await idling(edge)
    splice = edge.house.splice

    async def scarce(*sockets: Any, **more: Any) -> TunnelEnd:
        if edge.house.counts.active > 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return await splice(*sockets, **more)

    edge.house.splice = scarce
    edge.pods[APP] = opening
    client = await edge.ask(UPGRADE)
    assert (await read_head(client)).status == 101
    assert await waiting.rest() == b""


async def test_no_client_makes_room_in_the_vault(edge: Edge) -> None:
    """Its descriptors are another process's."""
    edge.use(route(upgrade=("websocket",)))
    waiting = await idling(edge)
    edge.house.vault = FullVault()
    edge.pods[APP] = opening
    client = await edge.ask(UPGRADE)
    assert (await read_answer(client)).status == 503
    assert await is_served(waiting)
