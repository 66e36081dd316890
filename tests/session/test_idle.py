"""Client connections without a request: who of them makes room, and when all of them must end."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from typing import Any, cast

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from splicer.errors import NoDescriptor
from splicer.model import Endpoint
from splicer.net.dial import InTime
from splicer.net.stream import ByteStream
from splicer.relay.api import TunnelEnd
from splicer.session import idle
from splicer.session.connection import Connection
from splicer.session.context import ConnectionState, StubStatus
from splicer.session.idle import IdleClients, IdleConnection
from tests.kit.http import read_head
from tests.session.edge import APP, CLIENT, Edge, answering, route
from tests.session.message import GET, OK, POST, SWITCHING, UPGRADE, read_answer
from tests.session.wire import End, Peer


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

    connected, stalled = True, False

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
    assert edge.context.idle.make_room()
    assert await second.rest() == b""
    assert await is_served(first)
    assert await is_served(third)


async def test_each_place_is_another_ones(edge: Edge) -> None:
    clients = [await idling(edge) for _ in range(3)]
    assert [edge.context.idle.make_room() for _ in range(4)] == [True, True, True, False]
    await wait_all_tasks_blocked()
    assert edge.context.counts.active == 0
    for client in clients:
        assert await client.rest() == b""


async def test_several_may_make_room_at_once(edge: Edge) -> None:
    first, second, third = [await idling(edge) for _ in range(3)]
    assert edge.context.idle.make_room(2)
    assert (await first.rest(), await second.rest()) == (b"", b"")
    assert await is_served(third)
    assert edge.context.idle.make_room(2)
    assert await third.rest() == b""
    assert edge.context.idle.ended == 3


async def test_a_connection_with_a_request_keeps_its_place(edge: Edge) -> None:
    waiting, asking = await idling(edge), await idling(edge)
    del waiting  # it has come first
    edge.pods[APP] = None
    busy = await edge.ask(POST)  # it rides no idle connection to a pod
    partial = await edge.ask(GET[:5])
    await wait_all_tasks_blocked()
    await asking.send(GET)  # and its task hasn't run yet
    assert edge.context.idle.make_room()
    assert not edge.context.idle.make_room()
    await wait_all_tasks_blocked()
    assert edge.context.counts.active == 3
    for client in (busy, partial, asking):
        assert client.end._incoming.eof is False


async def test_a_request_that_comes_as_the_wait_ends_is_served(edge: Edge) -> None:
    client = await idling(edge)
    edge.context.idle.make_room()
    await client.send(GET)
    assert (await read_answer(client)).status == 200


async def test_few_are_asked_for_one_place(edge: Edge) -> None:
    """Each look is a system call; those that have something to say will be served in a moment."""
    clients = [await idling(edge) for _ in range(idle._LOOKS + 1)]
    for client in clients[:-1]:
        await client.send(GET)
    assert not edge.context.idle.make_room()
    assert (await read_answer(clients[0])).status == 200


async def test_who_connects_and_asks_nothing_makes_room_after_a_second(edge: Edge) -> None:
    client = edge.connect()
    await trio.sleep(0.9)
    assert not edge.context.idle.make_room()
    await trio.sleep(0.2)
    assert edge.context.idle.make_room()
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
    await edge.context.idle.end_within(5)
    later = edge.connect()  # accepted, and taken care of only now
    await trio.sleep(3)
    assert await is_served(later)
    for client, ended in ((waiting, 15), (silent, 15), (later, 18)):
        assert await client.rest() == b""
        assert trio.current_time() == pytest.approx(ended)


async def test_a_wait_that_ends_sooner_anyway_is_not_made_longer(edge: Edge) -> None:
    edge.use(route(deadlines={"keepalive": 2}))
    client = await idling(edge)
    await edge.context.idle.end_within(5)
    assert await client.rest() == b""
    assert trio.current_time() == pytest.approx(2)


# ---- descriptors ----


async def test_an_idle_client_makes_room_for_a_connection_to_a_pod(edge: Edge) -> None:
    waiting = await idling(edge)
    dial = edge.context.dial

    async def scarce(endpoint: Endpoint, in_time: InTime) -> ByteStream:
        if edge.context.counts.active > 1:
            raise NoDescriptor("Too many open files")
        return await dial(endpoint, in_time)

    edge.context.dial = scarce
    assert (await read_answer(await edge.ask(POST))).status == 200
    assert await waiting.rest() == b""


async def test_an_idle_client_makes_room_for_a_pipe(edge: Edge) -> None:
    edge.use(route(upgrade=("websocket",)))
    waiting = await idling(edge)
    splice = edge.context.splice

    async def scarce(*sockets: Any, **more: Any) -> TunnelEnd:
        if edge.context.counts.active > 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return await splice(*sockets, **more)

    edge.context.splice = scarce
    edge.pods[APP] = opening
    client = await edge.ask(UPGRADE)
    assert (await read_head(client)).status == 101
    assert await waiting.rest() == b""


async def test_no_client_makes_room_in_the_vault(edge: Edge) -> None:
    """Its descriptors are another process's."""
    edge.use(route(upgrade=("websocket",)))
    waiting = await idling(edge)
    edge.context.vault = FullVault()
    edge.pods[APP] = opening
    client = await edge.ask(UPGRADE)
    assert (await read_answer(client)).status == 503
    assert await is_served(waiting)


# ---- another worker takes its place ----


class Heir:
    """Another worker, in the same room: it takes connections, or says that it doesn't, after a while."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.context = evolve(edge.context, idle=IdleClients(), counts=StubStatus())
        self.willing = True
        self.taken = 0

    async def take(self, client: IdleConnection) -> bool:
        assert not client.buffer, "what has been read must be served here"
        await trio.sleep(0.1)
        if self.willing:
            self.taken += 1
            before = cast("End", client.stream)
            after = End(before._incoming, before._outgoing)
            before.abandon()
            self.edge.streams.append(after)
            served = Connection(self.context, after, client.peer, place=ConnectionState.WAITING)
            self.edge.nursery.start_soon(self.edge._serve, served)
        return self.willing


async def test_who_waits_goes_to_the_heir_and_so_does_who_comes_to_wait(edge: Edge) -> None:
    heir = Heir(edge)
    waiting, silent = await idling(edge), edge.connect()
    await trio.sleep(5)
    late = edge.connect()
    await edge.context.idle.end_within(5, heir.take)
    await trio.sleep(2)
    assert (heir.taken, edge.context.counts.active, heir.context.counts.waiting) == (3, 0, 3)
    for client in (waiting, silent, late):
        for _ in range(2):
            assert await is_served(client)
            await trio.sleep(10)
    assert [record.client for record in edge.told.ended] == [CLIENT] * 7


async def test_at_the_heir_it_idles_as_if_it_had_just_been_served(edge: Edge) -> None:
    edge.use(route(deadlines={"keepalive": 60, "head": 2}))
    heir = Heir(edge)
    client = await idling(edge)
    await trio.sleep(50)
    await edge.context.idle.end_within(5, heir.take)
    assert await client.rest() == b""
    assert trio.current_time() == pytest.approx(110.1)
    assert heir.context.counts.active == 0


async def test_what_has_come_and_was_not_read_goes_along(edge: Edge) -> None:
    heir = Heir(edge)
    client = await idling(edge)
    await edge.context.idle.end_within(5, heir.take)
    await trio.sleep(0.05)
    assert edge.context.counts.active == 1, "it is on its way: who ends now would end it"
    assert await is_served(client)
    assert heir.context.counts.requests == 1


async def test_a_request_that_was_read_already_is_served_here(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    heir = Heir(edge)
    client = await edge.ask(GET + GET + GET[:20])
    await edge.context.idle.end_within(5, heir.take)
    assert (await read_answer(client)).status == 200
    assert (await read_answer(client)).status == 200
    await client.send(GET[20:])
    assert (await read_answer(client)).status == 200
    await trio.sleep(1)
    assert (heir.taken, edge.context.counts.requests) == (1, 3)


async def test_whom_the_heir_does_not_take_waits_here_for_one_more_request(edge: Edge) -> None:
    heir = Heir(edge)
    heir.willing = False
    first, second = await idling(edge), await idling(edge)
    await trio.sleep(10)
    await edge.context.idle.end_within(5, heir.take)
    await edge.context.idle.end_within(5)
    await trio.sleep(4)
    edge.context.retiring = True
    await first.send(GET)
    answer = await read_answer(first)
    assert (answer.status, answer.get("connection")) == (200, "close")
    assert await second.rest() == b""
    assert trio.current_time() == pytest.approx(15.1)


async def test_who_has_had_its_last_answer_is_told_from_who_may_ask(edge: Edge) -> None:
    waiting, told = await idling(edge), await edge.ask(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n")
    assert (await read_answer(told)).get("connection") == "close"
    assert (edge.context.counts.waiting, edge.context.lingering) == (2, 1)
    told.end.close()
    await wait_all_tasks_blocked()
    assert (edge.context.counts.waiting, edge.context.lingering) == (1, 0)
    assert await is_served(waiting)


async def test_many_end_in_slices(edge: Edge) -> None:
    class Steps(trio.abc.Instrument):
        ended = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            left.append(sum(scope.deadline == -math.inf for scope in edge.context.idle._waits.values()))

    heir, left = Heir(edge), list[int]()
    clients = [edge.connect() for _ in range(1000)]
    await trio.sleep(2)
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    await edge.context.idle.end_within(5, heir.take)
    trio.lowlevel.remove_instrument(steps)
    await trio.sleep(1)
    assert heir.taken == len(clients)
    assert 0 < max(left) <= 2 * idle._SLICE
