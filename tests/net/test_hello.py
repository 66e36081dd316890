"""Looking at a ClientHello on real sockets: not a byte is taken, and nobody spins."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio
from attrs import frozen
from trio.testing import wait_all_tasks_blocked

from splicer.client_hello import Hello
from splicer.errors import ClientGone
from splicer.hello_errors import MalformedHello, NotTls
from splicer.net.hello import peek_hello
from splicer.net.stream import TcpStream
from tests.kit.descriptors import none_left_open
from tests.kit.hellos import in_records, made_hello, real_hello, server_name

_HELLO = in_records(made_hello(server_name(b"a.example")), 20, 30)


@frozen
class Pair:
    client: socket.socket
    edge: TcpStream

    def lowat(self) -> int:
        return self.edge.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with none_left_open(), socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        edge, _ = listener.accept()
        edge.setblocking(False)
        with client, edge:
            yield Pair(client, TcpStream(edge))


@pytest.mark.parametrize("name", ["grpc.example.com", None])
async def test_it_is_left_where_it_is(pair: Pair, name: str | None) -> None:
    data = real_hello(name)
    pair.client.send(data + b"more")
    assert await peek_hello(pair.edge) == Hello(name)
    assert await pair.edge.receive_some(10_000) == data + b"more"
    assert pair.lowat() == 1


@pytest.mark.parametrize("places", [range(1, len(_HELLO)), (1,), (25,), (30, 60)], ids=["drips", "1", "25", "two"])
async def test_it_may_come_in_any_segments(pair: Pair, places: range | tuple[int, ...]) -> None:
    found: list[Hello] = []

    async def look() -> None:
        found.append(await peek_hello(pair.edge))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        for start, end in zip((0, *places), (*places, len(_HELLO)), strict=True):
            await wait_all_tasks_blocked()
            pair.client.send(_HELLO[start:end])
    assert found == [Hello("a.example")]
    assert pair.lowat() == 1
    assert await pair.edge.receive_some(10_000) == _HELLO


async def test_a_part_of_it_wakes_nobody_until_what_is_needed_is_there(pair: Pair) -> None:
    with trio.move_on_after(0.3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peek_hello, pair.edge)
            pair.client.send(_HELLO[:10])
            await trio.sleep(0.1)
            assert pair.lowat() == 25, "the end of the first record"
            before = trio.lowlevel.current_statistics().run_sync_soon_queue_size
            assert before == 0
            await trio.sleep(1)
    assert pair.lowat() == 1


@pytest.mark.parametrize("part", [0, 1, 10, 40])
async def test_who_closes_before_it_is_whole_is_gone(pair: Pair, part: int) -> None:
    pair.client.send(_HELLO[:part])
    pair.client.close()
    with trio.fail_after(10), pytest.raises(ClientGone):
        await peek_hello(pair.edge)


async def test_who_resets_is_gone(pair: Pair) -> None:
    pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    pair.client.close()
    with pytest.raises(ClientGone):
        await peek_hello(pair.edge)


@pytest.mark.parametrize(
    ("data", "error"), [(b"GET / HTTP/1.1\r\n", NotTls), (b"\x16\x03\x01\x40\x01", MalformedHello)]
)
async def test_what_leads_nowhere_is_left_too(pair: Pair, data: bytes, error: type[Exception]) -> None:
    pair.client.send(data)
    with pytest.raises(error):
        await peek_hello(pair.edge)
    assert await pair.edge.receive_some(100) == data
