from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from trio.testing import assert_checkpoints, assert_no_checkpoints, wait_all_tasks_blocked

from splicer.net.stream import TcpStream
from splicer.session.leg_state import taken_by

TCP = socket.IPPROTO_TCP
BIG = 8 * 1024 * 1024  # more than two socket buffers of 64 KiB hold


@pytest.fixture
def pair() -> Iterator[tuple[TcpStream, TcpStream]]:
    """Two connected ends that hold little."""
    with socket.socket() as listener:
        first = socket.socket()
        for sock in (listener, first):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        first.connect(listener.getsockname())
        second, _ = listener.accept()
    with first, second:
        first.setblocking(False)
        second.setblocking(False)
        yield TcpStream(first), TcpStream(second)


Streams = tuple[TcpStream, TcpStream]


async def _read_to_end(stream: TcpStream) -> bytes:
    parts = []
    while part := await stream.receive_some(100_000):
        parts.append(part)
        await trio.lowlevel.checkpoint()
    return b"".join(parts)


async def test_bytes_and_the_end_of_the_stream(pair: Streams) -> None:
    one, other = pair
    await one.send_all(b"")
    await one.send_all(b"some bytes")
    assert await other.receive_some(4) == b"some"
    assert await other.receive_some(100) == b" bytes"
    one.send_eof()
    assert await other.receive_some(100) == b""
    await other.send_all(b"still open")
    assert await one.receive_some(100) == b"still open"


async def test_a_read_waits_for_a_byte(pair: Streams) -> None:
    one, other = pair
    received = []

    async def read() -> None:
        received.append(await other.receive_some(100))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        assert received == []
        await one.send_all(b"now")
    assert received == [b"now"]


async def test_a_slow_reader_gets_everything(pair: Streams) -> None:
    one, other = pair
    data = random.Random(1).randbytes(BIG)

    async def send() -> None:
        await one.send_all(data)
        one.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        assert await _read_to_end(other) == data


async def test_a_reset_breaks_the_reader_and_the_writer(pair: Streams) -> None:
    one, other = pair
    one.reset()
    with pytest.raises(trio.BrokenResourceError) as caught:
        await other.receive_some(100)
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    with pytest.raises(trio.BrokenResourceError):
        await other.send_all(b"x")


async def test_a_reset_breaks_a_writer_that_waits(pair: Streams) -> None:
    one, other = pair

    async def send() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await one.send_all(bytes(BIG))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        other.reset()


# Whoever adopts a tunnel holds a duplicate: close(2) alone would say nothing to the peer.
async def test_a_close_sends_the_end_of_the_stream_though_a_duplicate_is_held(pair: Streams) -> None:
    one, other = pair
    duplicate = os.dup(one.sock.fileno())
    await one.send_all(b"bye")
    one.close()
    assert await _read_to_end(other) == b"bye"
    os.close(duplicate)


async def test_a_close_delivers_what_the_kernel_still_holds(pair: Streams) -> None:
    one, other = pair
    one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BIG)
    data = random.Random(2).randbytes(1 << 20)
    await one.send_all(data)
    one.close()
    assert await _read_to_end(other) == data


async def test_a_reset_of_a_half_closed_connection_is_a_reset(pair: Streams) -> None:
    one, other = pair
    one.send_eof()
    assert await other.receive_some(100) == b""
    one.reset()
    with pytest.raises(trio.BrokenResourceError):
        await _send_for_ever(other)


async def _send_for_ever(stream: TcpStream) -> None:
    while True:
        await stream.send_all(b"x")
        await trio.lowlevel.checkpoint()


async def test_close_and_reset_may_come_twice_and_after_each_other(pair: Streams) -> None:
    one, other = pair
    one.close()
    one.close()
    one.reset()
    other.reset()
    other.reset()
    other.close()
    assert (one.sock.fileno(), other.sock.fileno()) == (-1, -1)


async def test_who_abandons_a_connection_leaves_it_to_whoever_has_a_duplicate(pair: Streams) -> None:
    one, other = pair
    await other.send_all(b"unread")
    with one.sock.dup() as duplicate:
        one.abandon()
        one.close()
        one.reset()
        assert duplicate.recv(100) == b"unread"
        assert other.is_quiet()
        duplicate.send(b"it goes on")
        assert await other.receive_some(100) == b"it goes on"


async def test_a_close_wakes_whoever_waits(pair: Streams) -> None:
    one, _ = pair

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await one.receive_some(100)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        one.close()


async def test_half_closing_a_broken_connection_is_no_error(pair: Streams) -> None:
    one, other = pair
    one.reset()
    with pytest.raises(trio.BrokenResourceError):
        await other.receive_some(1)
    other.send_eof()


async def test_quiet_is_without_byte_end_or_error(pair: Streams) -> None:
    one, other = pair
    assert other.is_quiet()
    await one.send_all(b"x")
    assert not other.is_quiet()
    assert await other.receive_some(1) == b"x"
    assert other.is_quiet()
    one.send_eof()
    assert not other.is_quiet()
    other.reset()
    await trio.lowlevel.wait_readable(one.sock)
    assert not one.is_quiet()


async def test_a_peer_that_keeps_its_window_shut_is_not_taken_for_gone(pair: Streams) -> None:
    writer, reader = pair
    writer.sock.setsockopt(TCP, socket.TCP_USER_TIMEOUT, 500)  # ms
    data = os.urandom(BIG)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.send_all, data)
        await trio.sleep(1.5)
        assert await _read_exactly(reader, len(data)) == data


async def _read_exactly(stream: TcpStream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        data += await stream.receive_some(65_536)
    return bytes(data)


async def _until(true: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not true():  # noqa: ASYNC110 - it is the kernel that makes it true
            await trio.sleep(0.005)


async def test_it_is_flushed_when_the_peers_kernel_has_all(pair: Streams) -> None:
    one, other = pair
    assert one.is_flushed()
    await one.send_all(b"some bytes")
    await _until(one.is_flushed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.send_all, bytes(BIG))
        await trio.sleep(0.1)
        assert not one.is_flushed()
        await _read_some(other, len(b"some bytes") + BIG)
    await _until(one.is_flushed)


async def _read_some(stream: TcpStream, count: int) -> None:
    while count:
        count -= len(await stream.receive_some(count))
        await trio.lowlevel.checkpoint()


# Nobody waits for a peer that is gone: the queue of a connection that was reset stays as it was.
async def test_it_is_flushed_when_the_peer_is_gone(pair: Streams) -> None:
    one, other = pair
    with trio.move_on_after(0.1):
        await one.send_all(bytes(BIG))
    assert not one.is_flushed()
    other.reset()
    await _until(one.is_flushed)


# ---- without waiting ----


async def test_what_is_there_is_read_now(pair: Streams) -> None:
    one, other = pair
    assert other.receive_now(100) is None
    await one.send_all(b"some bytes")
    assert [other.receive_now(4), other.receive_now(100), other.receive_now(100)] == [b"some", b" bytes", None]
    one.send_eof()
    assert other.receive_now(100) == b""


async def test_what_fits_is_sent_now(pair: Streams) -> None:
    one, other = pair
    sent = 0
    while count := one.send_now(b"x" * BIG):
        sent += count
    assert 0 < sent < BIG
    one.send_eof()
    assert len(await _read_to_end(other)) == sent


async def test_a_broken_connection_is_told_without_waiting(pair: Streams) -> None:
    one, other = pair
    other.reset()
    with pytest.raises(trio.BrokenResourceError):
        one.receive_now(1)
    with pytest.raises(trio.BrokenResourceError):
        one.send_now(b"x")


async def test_a_later_read_lets_others_run_first(pair: Streams) -> None:
    one, other = pair
    await one.send_all(b"x")
    with assert_checkpoints():
        assert await other.receive_some(1, later=True) == b"x"
    await one.send_all(b"y")
    with assert_no_checkpoints():
        assert await other.receive_some(1) == b"y"


# ---- closing, while another process has a duplicate ----


def _watched(fd: int) -> bool:
    """Whether Trio's epoll still watches a descriptor of this number."""
    return any(
        line.split()[:2] == ["tfd:", str(fd)]
        for epoll in Path("/proc/self/fd").iterdir()
        if epoll.is_symlink() and str(epoll.readlink()) == "anon_inode:[eventpoll]"
        for line in Path("/proc/self/fdinfo", epoll.name).read_text().splitlines()
    )


async def test_who_waits_is_told_that_it_closes(pair: Streams, nursery: trio.Nursery) -> None:
    one, _ = pair
    told = False

    async def wait() -> None:
        nonlocal told
        try:
            await one.receive_some(10)
        except trio.ClosedResourceError:
            told = True

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    one.close()
    await wait_all_tasks_blocked()
    assert told


@pytest.mark.parametrize("wait", ["read", "write"])
async def test_a_wait_that_was_ended_leaves_nothing_in_trios_epoll(pair: Streams, wait: str) -> None:
    one, _ = pair
    if wait == "read":
        with trio.move_on_after(0.01):
            await one.receive_some(10)
    else:
        with trio.move_on_after(0.01):
            await one.send_all(bytes(BIG))
    fd, kept = one.sock.fileno(), one.sock.dup()
    with kept:
        one.close()
        assert not _watched(fd)


# A wait that had its event is not watched any more, though the number is still there: nothing may come of it for the
# next socket with the same number, whatever happens to the connection, which the vault keeps for a moment.
async def test_a_closed_socket_wakes_nobody_who_waits_for_the_next_one_of_its_number(pair: Streams) -> None:
    one, other = pair
    await other.send_all(b"x")
    assert await one.receive_some(1, later=True) == b"x"
    fd, kept = one.sock.fileno(), one.sock.dup()
    with kept:
        one.close()
        next_one, its_peer = socket.socketpair()
        with next_one, its_peer:
            next_one.setblocking(False)
            assert next_one.fileno() == fd
            woken = False

            async def wait() -> None:
                nonlocal woken
                await trio.lowlevel.wait_readable(next_one)
                woken = True

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await wait_all_tasks_blocked()
                with suppress(OSError):
                    other.sock.send(b"more")
                other.reset()
                await trio.sleep(0.05)
                assert not woken
                its_peer.send(b"at last")
                await trio.sleep(0.05)
                assert woken


async def test_it_counts_what_the_socket_has_taken_if_it_had_it_from_the_start(pair: Streams) -> None:
    one, other = pair
    assert one.written is None
    counted = TcpStream(one.sock, written=0)
    assert counted.send_now(b"four") == 4
    await counted.send_all(b"")
    await counted.send_all(b"and more")
    assert counted.written == len(b"fourand more") == taken_by(one)
    with trio.move_on_after(0.05):
        await counted.send_all(bytes(BIG))
    assert 12 < counted.written < BIG
    assert counted.written == taken_by(one)
    other.sock.close()


async def test_closing_a_connection_that_has_ended_sends_nothing(pair: Streams) -> None:
    one, other = pair
    with one.sock.dup():
        one.close_ended()
        await trio.sleep(0.02)
        assert other.is_quiet()
    await trio.sleep(0.02)
    assert other.receive_now(1) == b"", "the last descriptor was closed"
