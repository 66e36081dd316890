"""How a worker shares its TLS connections out among the tls processes."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.ipc import wire
from splicer.ipc.tls_messages import ServeClient, TlsTask
from splicer.ipc.tls_table import ProcessWord, TlsTable, make_tls_memory
from splicer.tls.preface import pack
from splicer.tls_facts import TlsFailure
from splicer.upstream.tls_links import TlsLinks


class Process:
    """The tls process's end of a channel."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.channel.setblocking(False)
        self.plain: list[socket.socket] = []

    def take(self) -> int:
        """Take the connections that have come; return how many it has."""
        while True:
            try:
                received = wire.receive(self.channel, TlsTask)
            except BlockingIOError:
                return len(self.plain)
            if received is None:
                return len(self.plain)
            raw, plain = received.fds
            os.close(raw)
            self.plain.append(socket.socket(fileno=plain))

    def close(self) -> None:
        for sock in (self.channel, *self.plain):
            sock.close()


class Site:
    """The links, and the tls processes of some generations."""

    def __init__(self, table: int, *generations: int) -> None:
        self.links = TlsLinks(table)
        self.processes: list[Process] = []
        for row, generation in enumerate(generations):
            ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            self.links.attach(row, generation, ours)
            self.processes.append(Process(channel))
        self.ends: list[object] = []

    def taken(self) -> list[int]:
        return [process.take() for process in self.processes]

    async def connect(self, count: int, nursery: trio.Nursery) -> None:
        """Have some connections at the same moment."""
        for _ in range(count):
            nursery.start_soon(self._connect)
        await wait_all_tasks_blocked()

    async def _connect(self) -> None:
        raw, peer = socket.socketpair()
        with peer:
            self.ends.append(await self.links.shake_hands(ServeClient(profile="edge"), raw))

    def close(self) -> None:
        self.links.close()
        for process in self.processes:
            process.close()


@pytest.fixture
def table() -> Iterator[int]:
    fd = make_tls_memory()
    yield fd
    os.close(fd)


@pytest.fixture
async def make(table: int) -> AsyncIterator[Callable[..., Site]]:
    with ExitStack() as stack:
        yield lambda *generations: stack.enter_context(closing(Site(table, *generations)))


async def test_connections_of_the_same_moment_are_shared_out(make: Callable[..., Site]) -> None:
    site, failure = make(1, 1, 1), TlsFailure("tls_closed", "")
    async with trio.open_nursery() as nursery:
        await site.connect(9, nursery)
        assert site.taken() == [3, 3, 3]
        for process in site.processes:
            for plain in process.plain:
                plain.send(pack(failure))
    assert site.ends == [failure] * 9


async def test_the_one_that_has_fewest_gets_the_next(make: Callable[..., Site], table: int) -> None:
    site = make(1, 1)
    TlsTable(table).row(0)[ProcessWord.CONNECTIONS] = 2
    async with trio.open_nursery() as nursery:
        await site.connect(2, nursery)
        assert site.taken() == [0, 2]
        nursery.cancel_scope.cancel()


async def test_one_of_an_older_generation_gets_none(make: Callable[..., Site]) -> None:
    site = make(1, 2)
    async with trio.open_nursery() as nursery:
        await site.connect(2, nursery)
        assert site.taken() == [0, 2]
        nursery.cancel_scope.cancel()


async def test_a_dead_one_is_passed_over(make: Callable[..., Site]) -> None:
    site = make(1, 1)
    site.processes.pop(0).close()
    async with trio.open_nursery() as nursery:
        await site.connect(1, nursery)
        assert site.taken() == [1]
        nursery.cancel_scope.cancel()


async def test_one_that_dies_in_a_handshake_is_the_failure(make: Callable[..., Site]) -> None:
    site = make(1)
    async with trio.open_nursery() as nursery:
        await site.connect(1, nursery)
        site.processes[0].take()
        site.processes[0].close()
    assert site.ends == [TlsFailure("tls_lost", "the tls process has ended")]


async def test_another_channel_to_one_takes_the_place_of_the_first(make: Callable[..., Site]) -> None:
    """A supervisor that has lost its vault for a moment introduces all again; what was sent before is still taken."""
    site = make(1)
    async with trio.open_nursery() as nursery:
        await site.connect(1, nursery)
        ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        site.links.attach(0, 1, ours)
        site.processes.append(Process(channel))
        await site.connect(1, nursery)
        assert site.taken() == [1, 1]
        assert wire.receive(site.processes[0].channel, TlsTask) is None
        nursery.cancel_scope.cancel()
