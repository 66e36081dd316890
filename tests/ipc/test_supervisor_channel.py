"""The supervisor, as one of its processes hears it and answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
import trio

from splicer.ipc import wire
from splicer.ipc.supervisor_channel import SupervisorChannel, received
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


def test_an_answer_may_bring_more_with_it(ends: Ends) -> None:
    its, ours = ends
    superior = SupervisorChannel(ours, wire.VERSION)
    superior.reply("ready")
    superior.reply("drains", drains={"all": None, "pods": {"pod-1": 1.5}, "routes": {}}, number=3)
    assert wire.receive(its) == ({"version": wire.VERSION, "is": "ready"}, [])
    assert wire.receive(its) == (
        {
            "version": wire.VERSION,
            "is": "drains",
            "drains": {"all": None, "pods": {"pod-1": 1.5}, "routes": {}},
            "number": 3,
        },
        [],
    )


def test_an_answer_is_of_the_version_that_the_supervisor_speaks(ends: Ends) -> None:
    its, ours = ends
    SupervisorChannel(ours, wire.VERSION - 1).reply("ready")
    assert wire.receive(its) == ({"version": wire.VERSION - 1, "is": "ready"}, [])


def test_a_supervisor_that_is_gone_or_reads_nothing_ends_nobody(ends: Ends) -> None:
    its, ours = ends
    superior = SupervisorChannel(ours, wire.VERSION)
    for _ in range(2000):
        superior.reply("drains", drains="x" * 1000)
    its.close()
    superior.reply("ready")


async def test_orders_come_with_their_descriptors_until_it_is_gone(ends: Ends) -> None:
    its, ours = ends
    fd = wire.text_file("text")
    wire.send(its, {"do": "serve"}, (fd,))
    os.close(fd)
    heard = []
    with trio.fail_after(20):
        async for words, fds in SupervisorChannel(ours, wire.VERSION).commands():
            heard.append((words["do"], [wire.read_text(fd) for fd in fds]))
            if len(heard) == 1:
                wire.send(its, {"do": "stop"})
            else:
                its.close()
    assert heard == [("serve", ["text"]), ("stop", [])]


def test_what_came_with_the_start_goes_no_further(ends: Ends) -> None:
    fd = os.dup(ends[1].fileno())
    os.set_inheritable(fd, True)
    with received(fd) as sock:
        assert (sock.get_inheritable(), sock.getblocking(), sock.fileno()) == (False, False, fd)
