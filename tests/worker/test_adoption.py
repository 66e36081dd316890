"""A worker goes on with another one's tunnels, or closes what nobody can go on with."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import trio

from splicer.net.stream import TcpStream, TlsLeg
from splicer.record import Record
from splicer.relay.api import TunnelLimits
from splicer.session import passport
from splicer.session.passport import Passport
from splicer.session.tunnel import run_adopted
from splicer.tls_facts import TlsFacts
from splicer.vault.protocol import TO_CLIENT
from splicer.worker.adopted import Adopted
from splicer.worker.adoption import Adoption
from tests.relay.harness import tcp_pair
from tests.vault.rig import Rig

_FOREVER = TunnelLimits(math.inf, math.inf, math.inf)


def _entry(_: TlsFacts) -> TlsLeg:
    raise AssertionError("no leg here has TLS")


class Owner:
    """A worker's side: what was begun, and what the vault's link was told."""

    def __init__(self) -> None:
        self.started: list[tuple[Any, ...]] = []
        self.remembered: list[int] = []
        self.released: list[int] = []
        self.failed: list[str] = []
        self.counted = 0
        self.context = cast("Any", object())
        self.adoption = Adoption(
            self.context, self, lambda *task: self.started.append(task), self._count, self.failed.append, _entry
        )

    def remember(self, adopted: Adopted) -> None:
        self.remembered.append(adopted.key)

    def release(self, key: int) -> None:
        self.released.append(key)

    def _count(self) -> None:
        self.counted += 1


@pytest.fixture
def owner() -> Owner:
    return Owner()


@contextmanager
def both() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The proxy's ends of a client's connection and a pod's."""
    (client, its), (pod, other) = tcp_pair(), tcp_pair()
    with client, its, pod, other:
        yield client, pod


def _adopted(client: socket.socket, pod: socket.socket, written: bytes, pipes: dict[int, int]) -> Adopted:
    return Adopted(6, 3, written, client.dup(), pod.dup(), pipes)


async def test_a_tunnel_goes_on_with_what_was_written_down_of_it(owner: Owner, rig: Rig) -> None:
    pipe = rig.pipe(b"x")
    with both() as (client, pod):
        record = Record("0123456789abcdef", "192.0.2.7", trio.current_time())
        written = passport.write(record, _FOREVER, 129, TcpStream(client), TcpStream(pod))
        owner.adoption.adopt(_adopted(client, pod, written, {TO_CLIENT: pipe.read_fd}))
        [(task, context, past, *streams, pipes)] = owner.started
        assert (task, context, pipes) == (run_adopted, owner.context, {TO_CLIENT: pipe.read_fd})
        assert isinstance(past, Passport)
        assert (past.record.id, past.record.adopted, past.head) == (record.id, 3, 129)
        assert (owner.remembered, owner.counted, owner.released, owner.failed) == ([6], 1, [], [])
        for stream in streams:
            assert isinstance(stream, TcpStream)
            stream.close()


# It would be handed to the next worker, and to the one after that.
async def test_what_can_not_be_read_is_closed_and_released_and_costs_no_other(owner: Owner, rig: Rig) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with both() as (client, pod):
        adopted = _adopted(client, pod, b"nonsense", {TO_CLIENT: reader})
        owner.adoption.adopt(adopted)
        assert (owner.started, owner.remembered, owner.counted) == ([], [], 0)
        assert owner.released == [6]
        [error] = owner.failed
        assert "no passport" in error or "marshal" in error
        assert adopted.client.fileno() == adopted.pod.fileno() == -1
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(reader)
