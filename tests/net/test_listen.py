from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.net.bind import bind
from splicer.net.listen import ListeningSocket, accept_forever
from tests.kit.descriptors import no_more_descriptors


@pytest.fixture(params=[False, True], ids=["a socket", "a listening socket"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    listener = bind("127.0.0.1", 0)
    with ListeningSocket(listener.detach()) if request.param else listener as listening:
        yield listening


class Accepted:
    """What an accept loop hands over."""

    def __init__(self) -> None:
        self.socks: list[socket.socket] = []
        self.peers: list[str] = []
        self.errors: list[OSError] = []

    def handle(self, sock: socket.socket, peer: str) -> None:
        self.socks.append(sock)
        self.peers.append(peer)


@pytest.fixture
def accepted() -> Iterator[Accepted]:
    accepted = Accepted()
    yield accepted
    for sock in accepted.socks:
        sock.close()


@contextmanager
def _clients(listener: socket.socket, count: int) -> Iterator[list[socket.socket]]:
    socks = [socket.create_connection(listener.getsockname()) for _ in range(count)]
    try:
        yield socks
    finally:
        for sock in socks:
            sock.close()


async def test_connections_come_non_blocking_with_the_peers_address(
    listener: socket.socket, accepted: Accepted, nursery: trio.Nursery
) -> None:
    nursery.start_soon(accept_forever, listener, accepted.handle, accepted.errors.append)
    with _clients(listener, 3):
        await wait_all_tasks_blocked()
        assert accepted.peers == ["127.0.0.1"] * 3
        assert {sock.gettimeout() for sock in accepted.socks} == {0.0}
        with pytest.raises(BlockingIOError):
            accepted.socks[0].recv(1)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_what_a_listening_socket_accepts_is_as_any_socket_accepts_it(address: str) -> None:
    with (
        ListeningSocket(bind(address, 0).detach()) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        sock, peer = listener.accept()
        with sock:
            assert peer == client.getsockname()
            assert (sock.family, sock.type, sock.proto) == (client.family, client.type, client.proto)
            assert sock.family is (socket.AF_INET6 if ":" in address else socket.AF_INET)
            assert not sock.get_inheritable()


async def test_a_storm_leaves_room_for_others(listener: socket.socket, accepted: Accepted) -> None:
    counts = []

    async def other() -> None:
        while len(accepted.socks) < 200:
            counts.append(len(accepted.socks))
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()

    with _clients(listener, 200):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept_forever, listener, accepted.handle, accepted.errors.append)
            nursery.start_soon(other)
    assert any(0 < count < 200 for count in counts)


async def test_without_descriptors_it_backs_off_and_loses_nobody(
    listener: socket.socket, accepted: Accepted, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    nursery.start_soon(accept_forever, listener, accepted.handle, accepted.errors.append)
    with _clients(listener, 2):
        with no_more_descriptors():
            await wait_all_tasks_blocked()
            assert [error.errno for error in accepted.errors] == [errno.EMFILE]
            mock_clock.jump(1.0)
            await wait_all_tasks_blocked()
            assert len(accepted.errors) == 2
        assert accepted.socks == []
        mock_clock.jump(1.0)
        await wait_all_tasks_blocked()
        assert len(accepted.socks) == 2
        assert len(accepted.errors) == 2


async def test_who_frees_descriptors_is_not_kept_waiting(
    listener: socket.socket, accepted: Accepted, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    def free(error: OSError) -> bool:
        accepted.errors.append(error)
        return True

    nursery.start_soon(accept_forever, listener, accepted.handle, free)
    with _clients(listener, 2):
        with no_more_descriptors():
            await wait_all_tasks_blocked()
            assert len(accepted.errors) == 1
        mock_clock.jump(0.001)
        await wait_all_tasks_blocked()
        assert (len(accepted.socks), len(accepted.errors)) == (2, 1)


class Aborting(socket.socket):
    """A listener whose first connection died in its queue (accept(2), "Error handling")."""

    aborts = 1

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.aborts:
            self.aborts -= 1
            raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        return super().accept()


async def test_a_connection_that_died_in_the_queue_is_passed_over(
    listener: socket.socket, accepted: Accepted, nursery: trio.Nursery
) -> None:
    aborting = Aborting(fileno=os.dup(listener.fileno()))
    aborting.setblocking(False)
    with aborting, _clients(listener, 1):
        nursery.start_soon(accept_forever, aborting, accepted.handle, accepted.errors.append)
        await wait_all_tasks_blocked()
        assert (len(accepted.socks), accepted.errors) == (1, [])
        nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()


async def test_who_has_enough_leaves_the_next_one_to_others(
    listener: socket.socket, accepted: Accepted, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    others = Accepted()
    with socket.socket(fileno=os.dup(listener.fileno())) as shared:
        shared.setblocking(False)
        nursery.start_soon(accept_forever, listener, accepted.handle, accepted.errors.append, lambda: True)
        nursery.start_soon(accept_forever, shared, others.handle, others.errors.append)
        with _clients(listener, 10):
            await wait_all_tasks_blocked()
            assert (len(accepted.socks), len(others.socks)) == (0, 10)
        for sock in others.socks:
            sock.close()
        nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()


async def test_who_has_enough_takes_what_nobody_else_does(
    listener: socket.socket, accepted: Accepted, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    nursery.start_soon(accept_forever, listener, accepted.handle, accepted.errors.append, lambda: True)
    with _clients(listener, 40):
        await wait_all_tasks_blocked()
        assert accepted.socks == []
        mock_clock.jump(0.01)
        await wait_all_tasks_blocked()
        assert 0 < len(accepted.socks) < 40
        for _ in range(5):
            mock_clock.jump(0.01)
            await wait_all_tasks_blocked()
        assert len(accepted.socks) == 40


async def test_a_storm_is_left_to_others_as_soon_as_one_has_enough(
    listener: socket.socket, accepted: Accepted, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    nursery.start_soon(
        accept_forever, listener, accepted.handle, accepted.errors.append, lambda: len(accepted.socks) >= 7
    )
    with _clients(listener, 40):
        await wait_all_tasks_blocked()
        assert len(accepted.socks) == 7


async def test_what_is_left_to_others_is_lost_with_nobody(
    listener: socket.socket, accepted: Accepted, mock_clock: MockClock
) -> None:
    with _clients(listener, 1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept_forever, listener, accepted.handle, accepted.errors.append, lambda: True)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept_forever, listener, accepted.handle, accepted.errors.append)
            await wait_all_tasks_blocked()
            assert len(accepted.socks) == 1
            nursery.cancel_scope.cancel()


# Whoever stops to accept cancels the loop and closes the listener in one step, while the loop may be about to run: a
# wait for a closed socket is an error, which would end a worker that has calls.
async def test_a_listener_that_was_closed_before_it_began_ends_the_loop(
    listener: socket.socket, accepted: Accepted
) -> None:
    listener.close()
    await accept_forever(listener, accepted.handle, accepted.errors.append)


async def test_a_listener_that_is_closed_between_two_connections_ends_the_loop(
    listener: socket.socket, accepted: Accepted
) -> None:
    def handle_and_close(sock: socket.socket, peer: str) -> None:
        accepted.handle(sock, peer)
        listener.close()

    with _clients(listener, 2), trio.fail_after(20):
        await accept_forever(listener, handle_and_close, accepted.errors.append)
    assert len(accepted.socks) == 1
    assert accepted.errors == []
