"""The client's leg by itself: heads out of a stream, however it comes."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.errors import ClientGone, HeadTooLarge
from splicer.session.client import ClientLeg
from tests.session.wire import Peer, connection

HEADS = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /long" + b"g" * 300 + b" HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\n"]


def leg(capacity: int = 1 << 16) -> tuple[ClientLeg, Peer]:
    ours, theirs = connection(capacity)
    return ClientLeg(ours, "192.0.2.7"), Peer(theirs)


@given(heads=st.lists(st.sampled_from(HEADS), max_size=5), sizes=st.lists(st.integers(1, 50), max_size=60))
def test_heads_come_out_as_they_went_in(heads: list[bytes], sizes: list[int]) -> None:
    async def main() -> None:
        client, peer = leg()

        async def send() -> None:
            data = b"".join(heads)
            for size in sizes:
                await peer.send(data[:size])
                data = data[size:]
                await trio.sleep(0.01)
            await peer.send(data)
            peer.end.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            for head in heads:
                assert await client.read_head(60, 1000) == head
            assert await client.read_head(60, 1000) is None

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_what_follows_a_head_stays() -> None:
    client, peer = leg()
    await peer.send(HEADS[0] + b"body")
    assert await client.read_head(1, 1000) == HEADS[0]
    assert client.buffer == b"body"
    assert await client.receive_some() == b"body"
    assert client.buffer == b""


async def test_no_more_follows_a_head_than_the_smallest_pipe_holds() -> None:
    client, peer = leg()
    await peer.send(HEADS[0] + bytes(60_000))
    assert await client.read_head(1, 1000) == HEADS[0]
    assert 0 < len(client.buffer) < 8192


async def test_a_head_may_have_as_many_bytes_as_the_limit() -> None:
    client, peer = leg()
    await peer.send(HEADS[0][:-1])
    with pytest.raises(HeadTooLarge):
        await client.read_head(1, len(HEADS[0]) - 2)
    await peer.send(HEADS[0][-1:])
    assert await client.read_head(1, len(HEADS[0])) == HEADS[0]


async def test_a_client_that_leaves_in_its_head_is_gone() -> None:
    client, peer = leg()
    await peer.send(HEADS[0][:9])
    peer.end.send_eof()
    with pytest.raises(ClientGone, match="in the middle"):
        await client.read_head(1, 1000)


async def test_a_broken_connection_is_a_client_that_is_gone() -> None:
    client, peer = leg()
    peer.end.reset()
    with pytest.raises(ClientGone):
        await client.send_all(b"x")
    with pytest.raises(ClientGone):
        await client.receive_some()
    assert await client.read_head(1, 1000) is None
    assert await client.wait_request(1) is False
    await client.linger()


async def test_a_client_that_lingers_hears_the_end_and_may_go(autojump_clock: MockClock) -> None:
    client, peer = leg()
    await peer.send(b"unread")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.linger)
        assert await peer.rest() == b""
        assert trio.current_time() == 0
        peer.end.close()
    assert client.stream.ended == "close"  # type: ignore[attr-defined]  # it is one end of a connection
