"""Every byte arrives, once and in order, whatever the sizes, the pauses and the readers."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.relay.api import TunnelEnd
from tests.relay.harness import (
    PLENTY,
    Edge,
    Pair,
    Peer,
    resident_bytes,
    small_tcp_pair,
    tcp_pair,
    unix_pair,
    until,
)

BOUND = 2 * PLENTY // 3  # no pair of small connections and a pipe may take more than this of PLENTY


async def _send_in_pieces(peer: Peer, data: bytes, choice: random.Random) -> None:
    view = memoryview(data)
    while view:
        size = choice.choice((1, 160, 640, 4096, 70_000, 1_000_000))
        await peer.send(view[:size])
        view = view[size:]
        for _ in range(choice.randrange(4)):
            await trio.lowlevel.checkpoint()
    peer.half_close()


async def _read_in_pieces(peer: Peer, choice: random.Random) -> bytes:
    parts = []
    while part := await peer.receive(choice.choice((100, 5_000, 1 << 20))):
        parts.append(part)
        for _ in range(choice.randrange(4)):
            await trio.lowlevel.checkpoint()
    return b"".join(parts)


@pytest.mark.parametrize("pair", [tcp_pair, small_tcp_pair, unix_pair])
async def test_many_tunnels_carry_every_byte_both_ways(edge: Edge, pair: Callable[[], Pair]) -> None:
    async def talk(seed: int) -> None:
        choice = random.Random(seed)
        up, down = choice.randbytes(choice.randrange(700_000)), choice.randbytes(choice.randrange(700_000))
        call = await edge.call(pair=pair)
        received: dict[Side, bytes] = {}

        async def read(side: Side, peer: Peer) -> None:
            received[side] = await _read_in_pieces(peer, random.Random(seed))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_in_pieces, call.client, up, choice)
            nursery.start_soon(_send_in_pieces, call.pod, down, choice)
            nursery.start_soon(read, Side.CLIENT, call.client)
            nursery.start_soon(read, Side.POD, call.pod)
        end = await call.over()
        assert received[Side.POD] == up
        assert received[Side.CLIENT] == down
        assert end is not None
        assert (end.reason, end.reset) == ("eof", False)
        assert call.tally == [len(up), len(down)]

    async with trio.open_nursery() as nursery:
        for seed in range(40):
            nursery.start_soon(talk, seed)
    assert edge.hub.tunnels == 0


EARLY = [(b"", b""), (b"HTTP/1.1 101 \r\n\r\n", b""), (b"", b"hello"), (b"h" * 65_536, b"e" * 65_535)]


@pytest.mark.parametrize(("to_client", "to_pod"), EARLY)
async def test_early_bytes_come_first(edge: Edge, to_client: bytes, to_pod: bytes) -> None:
    call = await edge.call(to_client=to_client, to_pod=to_pod)
    await call.client.send(b"client")
    await call.pod.send(b"pod")
    assert await call.client.read(len(to_client) + 3) == to_client + b"pod"
    assert await call.pod.read(len(to_pod) + 6) == to_pod + b"client"
    call.hang_up()
    await call.over()
    assert call.tally == [len(to_pod) + 6, len(to_client) + 3]


async def test_bytes_that_were_sent_before_the_splice_come_after_the_early_ones(edge: Edge) -> None:
    client, pod = tcp_pair(), tcp_pair()
    await Peer(client[0]).send(b"second")
    call = await edge.call(to_pod=b"first ", pair=iter((client, pod)).__next__)
    assert await call.pod.read(12) == b"first second"


async def test_large_early_bytes_wait_for_a_slow_reader_and_still_come_first(edge: Edge) -> None:
    head, early = random.Random(1).randbytes(65_536), random.Random(2).randbytes(65_535)
    call = await edge.call(to_client=head, to_pod=early, pair=lambda: tcp_pair(4096))
    assert edge.hub.pipes.in_use == 2
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.client.send, b"client" * 9_000)
        nursery.start_soon(call.pod.send, b"pod" * 9_000)
        await wait_all_tasks_blocked()
        assert await call.client.read(len(head) + 27_000) == head + b"pod" * 9_000
        assert await call.pod.read(len(early) + 54_000) == early + b"client" * 9_000
    assert edge.hub.pipes.in_use == 0


async def test_what_a_client_said_before_it_left_arrives(edge: Edge) -> None:
    client, pod = tcp_pair(), tcp_pair()
    Peer(client[0]).close()
    call = await edge.call(to_pod=b"last words", pair=iter((client, pod)).__next__)
    assert await call.pod.read(100) == b"last words"
    call.pod.close()
    assert await call.over() == TunnelEnd(Side.CLIENT, "eof")


@pytest.mark.parametrize("way", ["to the pod", "to the client"])
async def test_a_reader_that_stops_stops_the_writer(edge: Edge, way: str) -> None:
    data = random.Random(3).randbytes(PLENTY)
    call = await edge.call(pair=small_tcp_pair)
    writer, reader = (call.client, call.pod) if way == "to the pod" else (call.pod, call.client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.send, data)
        await until(lambda: edge.hub.pipes.in_use)
        await wait_all_tasks_blocked()
        assert writer.sent < BOUND
        await reader.send(b"the other way is open")
        assert await writer.read(21) == b"the other way is open"
        assert await reader.read(PLENTY) == data
    assert edge.hub.pipes.in_use == 0


async def test_two_that_both_stop_reading_get_everything_when_they_resume(edge: Edge) -> None:
    up, down = random.Random(4).randbytes(PLENTY), random.Random(5).randbytes(PLENTY)
    call = await edge.call(pair=small_tcp_pair)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.client.send, up)
        nursery.start_soon(call.pod.send, down)
        await until(lambda: edge.hub.pipes.in_use == 2)
        await wait_all_tasks_blocked()
        assert max(call.client.sent, call.pod.sent) < BOUND
        assert await call.client.read(PLENTY) == down
        assert await call.pod.read(PLENTY) == up


async def test_a_slow_reader_does_not_hold_up_a_hundred_fast_ones(edge: Edge) -> None:
    data = random.Random(6).randbytes(PLENTY)
    slow = await edge.call(pair=small_tcp_pair)
    fast = [await edge.call() for _ in range(100)]
    finished: list[str] = []

    async def stream() -> None:
        await slow.pod.send(data)
        finished.append("slow")

    async def echo(client: Peer, pod: Peer) -> None:
        for number in range(20):
            frame = bytes([number]) * 160
            await client.send(frame)
            assert await pod.read(160) == frame
            await pod.send(frame)
            assert await client.read(160) == frame
        finished.append("fast")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream)
        await until(lambda: edge.hub.pipes.in_use)
        before = resident_bytes()
        async with trio.open_nursery() as echoes:
            for call in fast:
                echoes.start_soon(echo, call.client, call.pod)
        assert finished == ["fast"] * 100
        assert edge.hub.pipes.in_use == 1
        assert resident_bytes() - before < PLENTY
        assert await slow.client.read(PLENTY) == data
    assert finished[-1] == "slow"


# One turn of the hub may not go on for as long as bytes keep coming: here they always do.
async def test_a_bulk_stream_leaves_room_for_other_tasks_and_other_tunnels(edge: Edge) -> None:
    bulk, other = await edge.call(), await edge.call()

    async def flood() -> None:
        while True:
            await bulk.client.send(bytes(1 << 20))

    async def swallow() -> None:
        while True:
            await bulk.pod.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        nursery.start_soon(swallow)
        for _ in range(20):
            await other.client.send(b"frame")
            assert await other.pod.read(5) == b"frame"
        assert bulk.client.sent > 0
        nursery.cancel_scope.cancel()


# tcp(7): without SO_OOBINLINE the byte is not part of the stream. splice(2) stops in front of it, and the socket
# stays readable.
@pytest.mark.parametrize("behind", [b"", b"behind"])
async def test_urgent_data_is_part_of_the_stream(edge: Edge, behind: bytes) -> None:
    call = await edge.call()
    call.client.sock.send(b"before")
    call.client.sock.send(b"!", socket.MSG_OOB)
    if behind:
        call.client.sock.send(behind)
    assert await call.pod.read(7 + len(behind)) == b"before!" + behind
    assert await edge.sleeps()
    await call.client.send(b"and on")
    assert await call.pod.read(6) == b"and on"
    call.hang_up()
    await call.over()


@pytest.mark.slow
async def test_a_gibibyte_goes_through_with_flat_memory(edge: Edge) -> None:
    total, step = 1 << 30, 1 << 20
    pattern = random.Random(7).randbytes(step)
    twice = pattern * 2
    call = await edge.call()

    async def send() -> None:
        for _ in range(total // step):
            await call.client.send(pattern)
        call.client.half_close()

    before = most = resident_bytes()
    received = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while part := await call.pod.receive(step):
            start = received % step
            assert part == twice[start : start + len(part)]
            received += len(part)
            most = max(most, resident_bytes())
    assert received == total
    assert most - before < 16 * step
    call.pod.close()
    await call.over()
    assert call.tally == [total, 0]
