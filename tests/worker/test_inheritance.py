"""Client connections on their way from one worker to another: real ones, over a real channel."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.arrival import Arrival
from splicer.ipc import wire
from splicer.ipc.messages import Connection
from splicer.net.stream import TcpStream
from splicer.session.client import ClientLeg
from splicer.vault.protocol import channel
from splicer.worker.inheritance import Heir, inherit
from tests.kit.descriptors import no_more_descriptors, none_left_open

_MOST = 2000  # connections: a channel holds fewer


@define
class Workers:
    """The one that leaves, and what the other one has got; each end of the channel is closed by who has it."""

    listener: socket.socket
    ends: tuple[socket.socket, socket.socket] = field(factory=channel)
    taken: list[tuple[socket.socket, Connection]] = field(factory=list)
    clients: list[socket.socket] = field(factory=list)
    legs: list[ClientLeg] = field(factory=list)

    @property
    def heir(self) -> Heir:
        return Heir(self.ends[0], wire.VERSION)

    def client(self, peer: str = "192.0.2.7") -> ClientLeg:
        """The edge's end of a new connection."""
        self.clients.append(socket.create_connection(self.listener.getsockname()))
        edge, _ = self.listener.accept()
        edge.setblocking(False)
        self.legs.append(ClientLeg(TcpStream(edge), peer))
        return self.legs[-1]

    async def take_all(self) -> None:
        """The other worker."""
        await inherit(self.ends[1], lambda sock, known: self.taken.append((sock, known)))


@pytest.fixture
def workers() -> Iterator[Workers]:
    with none_left_open(), socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        workers = Workers(listener)
        yield workers
        for sock in (*workers.ends, *workers.clients, *(sock for sock, _ in workers.taken)):
            sock.close()
        for leg in workers.legs:
            leg.stream.sock.close()


async def test_a_connection_goes_on_with_all_that_has_come(workers: Workers) -> None:
    leg = workers.client("2001:db8::7")
    workers.clients[0].send(b"what nobody has read")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.take_all)
        assert await workers.heir.take(leg)
        assert leg.stream.sock.fileno() < 0
        await wait_all_tasks_blocked()
        [(sock, known)] = workers.taken
        assert (known, sock.getblocking()) == (Connection("2001:db8::7"), False)
        assert sock.recv(100) == b"what nobody has read"
        sock.send(b"an answer")
        assert workers.clients[0].recv(100) == b"an answer"
        workers.ends[0].close()


async def test_how_it_came_goes_with_it(workers: Workers) -> None:
    came = Arrival("10.0.0.9", 4711, True, (("proxy_id", "ü"), ("tls_version", "TLSv1.3")))
    leg = workers.client()
    leg.arrival = came
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.take_all)
        assert await workers.heir.take(leg)
        await wait_all_tasks_blocked()
        workers.ends[0].close()
    assert [known for _, known in workers.taken] == [Connection("192.0.2.7", came)]


async def test_the_end_of_one_is_the_end_of_the_other(workers: Workers) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.take_all)
        await wait_all_tasks_blocked()
        workers.ends[0].close()
    assert workers.ends[1].fileno() < 0


async def test_more_than_a_channel_holds_arrive_while_others_have_their_turns(workers: Workers) -> None:
    heir, one = workers.heir, workers.client()
    given = turns = 0

    async def give(number: int) -> None:
        nonlocal given
        assert await heir.take(ClientLeg(TcpStream(one.stream.sock.dup()), str(number)))
        given += 1

    async with trio.open_nursery() as nursery:
        for number in range(_MOST):
            nursery.start_soon(give, number)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert given < _MOST, "the channel takes all of them"
        nursery.start_soon(workers.take_all)
        while given < _MOST:
            turns += 1
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        workers.ends[0].close()
    assert {known.peer for _, known in workers.taken} == {str(number) for number in range(_MOST)}
    assert turns > _MOST // 200


@pytest.mark.parametrize("dies", [True, False])
async def test_an_heir_that_is_dead_or_stuck_leaves_the_rest_where_it_is(
    workers: Workers, autojump_clock: MockClock, *, dies: bool
) -> None:
    heir, kept = workers.heir, workers.client()
    if dies:
        workers.ends[1].close()
    else:
        while True:  # it reads nothing
            try:
                wire.send(workers.ends[0], Connection(""))
            except BlockingIOError:
                break
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(_refused, heir, kept)
    assert trio.current_time() - began <= 1.5, "they are asked for one after the other, but a stuck one only once"
    workers.clients[0].send(b"hello")
    assert await kept.stream.receive_some(100) == b"hello"


async def _refused(heir: Heir, leg: ClientLeg) -> None:
    assert not await heir.take(leg)
    assert leg.stream.is_quiet()


async def test_who_has_no_descriptor_left_takes_nothing_and_goes_on(workers: Workers) -> None:
    heir = workers.heir
    first, second = workers.client(), workers.client()
    async with trio.open_nursery() as nursery:
        await heir.take(first)
        with no_more_descriptors():
            nursery.start_soon(workers.take_all)
            await wait_all_tasks_blocked()
        assert workers.taken == []
        assert workers.clients[0].recv(10) == b"", "it is closed"
        await heir.take(second)
        await wait_all_tasks_blocked()
        assert len(workers.taken) == 1
        workers.ends[0].close()


async def test_descriptors_of_others_that_are_under_way_delay_it(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ETOOMANYREFS (unix(7)) counts those of the whole user."""
    refusals = [errno.ETOOMANYREFS] * 3

    def say(*arguments: Any) -> None:
        if refusals:
            raise OSError(refusals.pop(), "too many references")
        told(*arguments)

    told = wire.send
    monkeypatch.setattr(wire, "send", say)
    assert await workers.heir.take(workers.client())


async def test_what_is_not_understood_ends_it(workers: Workers) -> None:
    workers.ends[0].send(b"{}")
    await workers.take_all()
    assert not await workers.heir.take(workers.client())
