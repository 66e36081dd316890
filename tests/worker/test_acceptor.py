"""Client connections that come in, are turned away, or come from a worker that has left: real sockets."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.config.schema import Limits
from splicer.errors import TooManyConnections
from splicer.net.options import granted_buffer
from splicer.session.context import ConnectionState
from splicer.worker import acceptor
from tests.kit.descriptors import none_left_open
from tests.kit.wire import TIMEOUT
from tests.worker.accepting import BUFFER, Owner, Served


@pytest.fixture
async def owner(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Owner]:
    monkeypatch.setattr(acceptor, "Connection", Served)
    with none_left_open():
        owner = Owner(nursery)
        yield owner
        owner.close()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()  # its connections are closed


async def test_a_connection_is_counted_and_served(owner: Owner) -> None:
    owner.acceptor.listen([owner.listener], BUFFER)
    await owner.connect(3)
    assert len(owner.served) == 3
    assert (owner.counts.accepted, owner.counts.handled, owner.accepted) == (3, 3, 3)
    assert owner.refused == []


async def test_one_over_the_limit_gets_an_answer_and_is_closed(owner: Owner) -> None:
    owner.room = False
    owner.acceptor.listen([owner.listener], BUFFER)
    [client] = await owner.connect()
    assert client.recv(1000).startswith(b"HTTP/1.1 503 ")
    assert (owner.served, owner.refused) == ([], ["127.0.0.1 TooManyConnections"])
    assert (owner.counts.accepted, owner.counts.handled, owner.accepted) == (1, 0, 0)
    client.close()
    await wait_all_tasks_blocked(0.01)
    owner.room = True
    await owner.connect()
    assert len(owner.served) == 1


# Who opens thousands of connections over the limit must not have a task for each.
async def test_beyond_so_many_they_are_closed_without_an_answer(owner: Owner) -> None:
    owner.room = False
    owner.acceptor._turned_away = 256
    owner.acceptor.listen([owner.listener], BUFFER)
    [client] = await owner.connect()
    assert client.recv(1000) == b""
    assert len(owner.refused) == 1


@pytest.mark.parametrize(("excess", "over"), [(-1, False), (0, True), (5, True)])
async def test_one_that_may_only_ask_for_what_needs_no_pod_knows_it(owner: Owner, excess: int, over: bool) -> None:
    owner.excess = excess
    owner.acceptor.listen([owner.listener], BUFFER)
    await owner.connect()
    [connection] = owner.served
    assert connection.over is over


async def test_a_client_with_too_many_connections_gets_an_answer_and_is_closed(owner: Owner) -> None:
    owner.rules.limits = Limits(connections_per_client=2)
    owner.acceptor.listen([owner.listener], BUFFER)
    *_, third = await owner.connect(3)
    with trio.fail_after(TIMEOUT), trio.socket.from_stdlib_socket(third.dup()) as client:
        told = await client.recv(1000)
    assert told.startswith(b"HTTP/1.1 503 ")
    assert (owner.counts.accepted, owner.counts.handled, owner.accepted) == (3, 2, 2)
    assert owner.refused == ["127.0.0.1 TooManyFromClient"]
    owner.rules.trusted_proxies = (ip_network("127.0.0.1"),)
    await owner.connect(3)
    assert len(owner.refused) == 1, "a trusted proxy has the clients of others"


async def test_a_connection_that_is_over_counts_no_longer(owner: Owner) -> None:
    owner.rules.limits = Limits(connections_per_client=2)
    ours, theirs = socket.socketpair()
    owner.clients.append(ours)
    owner.acceptor.inherit(theirs, "127.0.0.1")
    owner.acceptor.listen([owner.listener], BUFFER)
    await owner.connect(2)
    assert len(owner.refused) == 1, "one that another worker had counts too"
    owner.over_now.set()
    await wait_all_tasks_blocked(0.01)
    assert len(owner.counted) == 0
    await owner.connect()
    assert len(owner.refused) == 1


async def test_who_stops_leaves_what_waits_to_others(owner: Owner) -> None:
    other = owner.listener.dup()
    with other:
        owner.acceptor.listen([owner.listener], BUFFER)
        await wait_all_tasks_blocked()
        owner.acceptor.stop()
        assert owner.listener.fileno() == -1
        await owner.connect()
        assert owner.served == []
        sock, _ = other.accept()
        sock.close()


async def test_a_connection_that_another_worker_had_is_waiting(owner: Owner) -> None:
    ours, theirs = socket.socketpair()
    owner.clients.append(ours)
    owner.acceptor.inherit(theirs, "192.0.2.7")
    [connection] = owner.served
    assert connection.place is ConnectionState.WAITING
    assert (owner.counts.accepted, owner.counts.handled) == (0, 0), "it was counted where it came in"


async def test_a_kernel_that_grants_less_is_told_of_with_a_remedy(owner: Owner) -> None:
    owner.acceptor.listen([owner.listener], 1 << 28)
    [(event, fields)] = owner.lines
    assert (event, fields["wanted"]) == ("socket_buffer_capped", 1 << 28)
    assert fields["granted"] == granted_buffer(owner.listener) < 1 << 28
    assert "net.core.rmem_max" in fields["remedy"]
    assert "net.core.wmem_max" in fields["remedy"]
    owner.lines.clear()
    owner.acceptor.limit_buffers(BUFFER)
    assert owner.lines == []


async def test_without_descriptors_an_idle_connection_makes_room_or_it_is_logged_now_and_then(
    owner: Owner, autojump_clock: MockClock
) -> None:
    short = OSError(errno.EMFILE, "Too many open files")
    owner.idle_room = True
    assert owner.acceptor._exhausted(short)
    assert owner.lines == []
    owner.idle_room = False
    for _ in range(25):
        assert not owner.acceptor._exhausted(short)
        await trio.sleep(1)
    assert owner.lines == [("accept_backs_off", {"error": "Too many open files", "tunnels": 7})] * 3


async def test_a_bug_while_one_is_turned_away_costs_that_one(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(acceptor, "send_refusal", fail)
    owner.room = False
    owner.acceptor.listen([owner.listener], BUFFER)
    [client] = await owner.connect()
    assert client.recv(1000) == b""
    assert [type(error) for error in owner.crashes] == [ZeroDivisionError]
    assert owner.refused == [f"127.0.0.1 {TooManyConnections.__name__}"]
