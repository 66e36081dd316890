"""The supervisor, as one of its processes hears it and answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import aclosing

import pytest
import trio

from splicer.ipc import wire
from splicer.ipc.facts import OperatorDrains
from splicer.ipc.messages import AdminOrder, AdminReport, Config, Ready, Stop, Unknown, WantDrains
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.ipc.wire import Received
from splicer.vault.protocol import channel
from tests.kit.descriptors import none_left_open

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The supervisor's end, and ours."""
    with none_left_open():
        its, ours = channel()
        with its, ours:
            yield its, ours


def _channel(ours: socket.socket, version: int = wire.VERSION) -> SupervisorChannel[AdminOrder, AdminReport]:
    return SupervisorChannel(ours, AdminOrder, version)


def _heard(its: socket.socket) -> Received[AdminReport]:
    heard = wire.receive(its, AdminReport)
    assert heard is not None
    return heard


def test_reports_go_to_it_in_order(ends: Ends) -> None:
    its, ours = ends
    supervisor = _channel(ours)
    supervisor.reply(Ready())
    supervisor.reply(WantDrains(OperatorDrains(pods={"pod-1": 1.5})))
    assert _heard(its) == Received(Ready(), [], lost=False, version=wire.VERSION, request=None)
    assert _heard(its).message == WantDrains(OperatorDrains(pods={"pod-1": 1.5}))


def test_an_answer_is_of_the_version_that_the_supervisor_speaks(ends: Ends) -> None:
    its, ours = ends
    _channel(ours, wire.VERSION - 1).reply(Ready())
    assert _heard(its).version == wire.VERSION - 1


def test_a_supervisor_that_is_gone_or_reads_nothing_ends_nobody(ends: Ends) -> None:
    its, ours = ends
    supervisor = _channel(ours)
    for _ in range(2000):
        supervisor.reply(WantDrains(OperatorDrains(pods={"x" * 1000: 1.0})))
    its.close()
    supervisor.reply(Ready())


async def test_orders_come_with_their_descriptors_until_it_is_gone(ends: Ends) -> None:
    its, ours = ends
    fd = wire.text_file("text")
    wire.send(its, Config(), (fd,))
    os.close(fd)
    heard = []
    with trio.fail_after(20):
        async for order in _channel(ours).commands():
            heard.append((order.message, [wire.read_text(fd) for fd in order.fds]))
            if len(heard) == 1:
                wire.send(its, Stop())
            else:
                its.close()
    assert heard == [(Config(), ["text"]), (Stop(), [])]


def test_what_came_with_the_start_goes_no_further(ends: Ends) -> None:
    fd = os.dup(ends[1].fileno())
    os.set_inheritable(fd, True)
    with received(fd) as sock:
        assert (sock.get_inheritable(), sock.getblocking(), sock.fileno()) == (False, False, fd)


async def test_a_request_of_a_later_version_is_answered(ends: Ends) -> None:
    its, ours = ends
    with trio.fail_after(20):
        its.send(b'{"version": 1, "kind": "later", "request": 7}')
        its.send(b'{"version": 1, "kind": "later"}')
        wire.send(its, Stop())
        async with aclosing(_channel(ours).commands()) as orders:
            assert [(await anext(orders)).message for _ in range(3)] == [None, None, Stop()]
    assert _heard(its).message == Unknown(7)
    with pytest.raises(BlockingIOError):
        wire.receive(its, AdminReport)
