from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import ConnectFailed, ConnectRefused, NoDescriptor
from splicer.model import Endpoint
from splicer.net.bind import bind
from splicer.net.dial import Wait, dial
from splicer.net.options import limit_buffers
from tests.kit.descriptors import no_more_descriptors, none_left_open, open_descriptors

BUFFER = 64 * 1024


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    with none_left_open():
        yield


def _endpoint(sock: socket.socket) -> Endpoint:
    host, port = sock.getsockname()[:2]
    return Endpoint("voice-agent-0", host, port)


async def test_a_connection_with_the_options_of_all_connections() -> None:
    with bind("127.0.0.1", 0) as listener:
        stream = await dial(_endpoint(listener), BUFFER)
        accepted, _ = listener.accept()
        with accepted:
            await stream.send_all(b"hello")
            assert accepted.recv(5) == b"hello"
            for name in (socket.TCP_NODELAY, socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE):
                ours, inherited = (sock.getsockopt(socket.IPPROTO_TCP, name) for sock in (stream.sock, accepted))
                assert ours == inherited
            assert stream.sock.gettimeout() == 0.0
            stream.close()


async def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = bind("::1", 0)
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error.strerror}")
    with listener:
        stream = await dial(_endpoint(listener), BUFFER)
        stream.close()


# The port is taken, so that nobody else can begin to listen on it; but nobody listens.
async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = _endpoint(taken)
        with pytest.raises(ConnectRefused, match=f"^127.0.0.1:{endpoint.port}: Connection refused$"):
            await dial(endpoint, BUFFER)


async def test_an_address_that_is_unreachable_for_tcp() -> None:
    with pytest.raises(ConnectFailed, match=r"^127\.255\.255\.255:8000: Network is unreachable$"):
        await dial(Endpoint("voice-agent-0", "127.255.255.255", 8000), BUFFER)


# Another pod may have an IPv4 address.
async def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(ConnectFailed, match=r"^\[::1\]:8000: Address family not supported by protocol$"):
        await dial(Endpoint("voice-agent-0", "::1", 8000), BUFFER)


async def test_no_descriptor_is_left() -> None:
    with bind("127.0.0.1", 0) as listener:
        endpoint = _endpoint(listener)
        with (
            no_more_descriptors(),
            pytest.raises(NoDescriptor, match=r"^Too many open files for a connection to 127\.0\.0\.1:"),
        ):
            await dial(endpoint, BUFFER)


# A full queue makes the kernel drop the handshake's packets; they come again after a second, and then nobody listens.
async def test_a_refusal_that_comes_later() -> None:
    busy = socket.socket()
    busy.bind(("127.0.0.1", 0))
    busy.listen(0)
    endpoint = _endpoint(busy)

    async def refused() -> None:
        with pytest.raises(ConnectRefused, match=r"^127\.0\.0\.1:\d+: Connection refused$"):
            await dial(endpoint, BUFFER)

    with socket.create_connection(busy.getsockname()):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused)
            await wait_all_tasks_blocked()
            assert nursery.child_tasks
            busy.close()


# Its queue is full, so the kernel drops the handshake's packets.
async def test_a_deadline_closes_the_socket() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        with socket.create_connection(busy.getsockname()):
            before = open_descriptors()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(dial, _endpoint(busy), BUFFER)
                await wait_all_tasks_blocked()
                assert len(nursery.child_tasks) == len(open_descriptors() - before) == 1
                nursery.cancel_scope.cancel()
            assert open_descriptors() - before == set()


# A window scale is told once, with the SYN (RFC 7323 §2.2), and goes by the buffer of that moment: one that is set
# later leaves a window that never fills it.
@pytest.mark.parametrize("size", [32 * 1024, 128 * 1024])
async def test_the_buffer_is_set_before_the_handshake_on_both_sides(size: int) -> None:
    with bind("127.0.0.1", 0) as listener:
        limit_buffers(listener, size)
        stream = await dial(_endpoint(listener), size)
        accepted, _ = listener.accept()
        with accepted:
            for sock in (stream.sock, accepted):
                assert size // 2 < 65_535 << window_scale(sock) <= 8 * size
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 2 * size
                assert 0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) <= size // 2
            stream.close()


def window_scale(sock: socket.socket) -> int:
    """That of the window which this end has announced: tcpi_rcv_wscale of struct tcp_info in <linux/tcp.h>."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[6] >> 4


async def test_what_needs_no_wait_needs_no_deadline() -> None:
    async def never(_: Wait) -> None:
        raise AssertionError("nothing was to be waited for")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        (await dial(_endpoint(listener), BUFFER, never)).close()


async def test_who_keeps_the_time_may_give_up() -> None:
    async def at_once(_: Wait) -> None:
        raise ZeroDivisionError

    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        with socket.create_connection(busy.getsockname()):
            before = open_descriptors()
            with pytest.raises(ZeroDivisionError):
                await dial(_endpoint(busy), BUFFER, at_once)
            assert open_descriptors() == before
