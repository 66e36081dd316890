"""Small pipes, and no descriptor for another one: calls go on with what there is."""

from __future__ import annotations

import contextlib
import errno
import random
import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.relay import stock as stock_module
from splicer.relay.api import TunnelEnd, TunnelLimits
from tests.relay.frames import echo
from tests.relay.harness import PLENTY, Call, Edge, Peer, no_more_pipes, pipe_of, small_tcp_pair, tcp_pair


@pytest.fixture
def two_slots(monkeypatch: pytest.MonkeyPatch) -> int:
    """Every pipe is as small as those of a user over pipe-user-pages-soft (pipe(7))."""
    monkeypatch.setattr(stock_module, "Pipe", lambda: pipe_of(8192))
    return 8192


async def test_the_smallest_pipes_carry_frames_and_bulk(edge: Edge, two_slots: int) -> None:
    call = await edge.call(to_pod=b"e" * two_slots, pair=small_tcp_pair)
    assert await call.pod.read(two_slots) == b"e" * two_slots
    await echo(call)
    data = random.Random(1).randbytes(PLENTY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.client.send, data)
        assert await call.pod.read(PLENTY) == data


async def test_early_bytes_that_do_not_fit_are_refused_with_nothing_sent(edge: Edge, two_slots: int) -> None:
    call = Call(tcp_pair(), tcp_pair())
    await call.run(edge.hub, TunnelLimits(1.0, 1.0, 1.0), b"101", b"e" * (two_slots + 1))
    assert str(call.error) == f"a pipe took {two_slots} of {two_slots + 1} early bytes"
    assert (await call.client.read(3), await call.pod.read(1)) == (b"", b"")
    call.hang_up()


async def test_without_a_descriptor_for_a_pipe_bytes_go_on_all_the_same(edge: Edge) -> None:
    call = await edge.call()
    data = random.Random(1).randbytes(PLENTY)
    with no_more_pipes(edge.hub):
        await echo(call)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.client.send, data)
            assert await call.pod.read(PLENTY) == data
        assert await edge.sleeps()
        call.client.half_close()
        assert await call.pod.read(1) == b""
        await call.pod.send(b"last words")
        call.pod.half_close()
        assert await call.client.read(11) == b"last words"
        assert await call.over() == TunnelEnd(Side.CLIENT, "eof")
    assert call.tally == [5 * 160 + PLENTY, 5 * 160 + 10]


async def test_a_slow_reader_with_the_only_pipe_leaves_the_others_alone(edge: Edge) -> None:
    slow, fast = await edge.call(pair=small_tcp_pair), await edge.call()
    await echo(fast)
    with no_more_pipes(edge.hub, clean=1):
        await edge.park(slow.pod, bytes(PLENTY))
        assert edge.hub.pipes.idle == 0
        await echo(fast, 20)
        await slow.client.send(b"meanwhile")
        assert await slow.pod.read(9) == b"meanwhile"
        assert await edge.sleeps()
        assert await slow.client.read(slow.pod.sent) == bytes(slow.pod.sent)
        await echo(slow)


@pytest.mark.parametrize("pipe_at_last", [False, True])
async def test_without_a_pipe_a_slow_readers_bytes_wait_in_the_senders_socket(edge: Edge, pipe_at_last: bool) -> None:
    slow, fast = await edge.call(pair=small_tcp_pair), await edge.call()
    data = random.Random(2).randbytes(PLENTY)
    with contextlib.ExitStack() as poverty:
        poverty.enter_context(no_more_pipes(edge.hub))
        await edge.stuff(slow.pod, data)
        assert edge.hub.pipes.in_use == 0
        assert await edge.sleeps()
        await echo(fast, 20)
        if pipe_at_last:
            poverty.close()
        slow.pod.half_close()
        assert await slow.client.read(PLENTY) == data[: slow.pod.sent]
        await slow.client.send(b"bye")
        slow.client.half_close()
        assert await slow.pod.read(4) == b"bye"
        assert await slow.over() == TunnelEnd(Side.POD, "eof")
    assert slow.tally == [3, slow.pod.sent]


async def test_without_a_descriptor_all_calls_share_the_last_pipe(edge: Edge) -> None:
    calls = [await edge.call(pair=small_tcp_pair) for _ in range(12)]
    slow, lively = calls[:4], calls[4:]
    data = random.Random(3).randbytes(PLENTY // 4)
    received: list[bytes] = []

    async def read(peer: Peer) -> None:
        received.append(await peer.read(len(data)))

    with no_more_pipes(edge.hub):
        for number, call in enumerate(slow):
            await edge.stuff((call.client, call.pod)[number % 2], bytes(PLENTY))
        assert (edge.hub.pipes.in_use, edge.hub.pipes.idle) == (0, 0), "a slow reader has the only pipe"
        async with trio.open_nursery() as nursery:
            for call in lively:
                for writer, reader in ((call.client, call.pod), (call.pod, call.client)):
                    nursery.start_soon(writer.send, data)
                    nursery.start_soon(read, reader)
        assert received == [data] * 16
        assert await edge.sleeps()
        for number, call in enumerate(slow):
            writer, reader = (call.client, call.pod) if number % 2 == 0 else (call.pod, call.client)
            writer.half_close()
            reader.half_close()
            assert await reader.read_to_end() == (bytes(writer.sent), "eof")
            await writer.read_to_end()
            assert await call.over() is not None
            assert call.tally == ([writer.sent, 0] if number % 2 == 0 else [0, writer.sent])


@pytest.mark.parametrize("stuffed", [False, True])
async def test_without_a_pipe_a_reset_is_passed_on(edge: Edge, stuffed: bool) -> None:
    call = await edge.call(pair=small_tcp_pair)
    with no_more_pipes(edge.hub):
        if stuffed:
            await edge.stuff(call.pod, bytes(PLENTY))
        call.client.reset()
        assert await call.over() == TunnelEnd(Side.CLIENT, "reset", reset=True)


async def test_without_a_pipe_what_was_sent_before_a_break_is_delivered(edge: Edge) -> None:
    call = await edge.call()
    with no_more_pipes(edge.hub):
        call.inner[1].shutdown(socket.SHUT_WR)  # towards the pod, each write breaks
        await call.client.send(b"into the void")
        await call.pod.send(b"the rest")
        assert await call.client.read(8) == b"the rest"
        assert await edge.sleeps()
        call.pod.half_close()
        call.client.half_close()
        assert await call.over() == TunnelEnd(Side.POD, "eof")
    assert call.tally == [0, 8]


async def test_without_a_descriptor_a_tunnel_that_is_over_still_ends(edge: Edge) -> None:
    call = await edge.call()
    with no_more_pipes(edge.hub):
        call.hang_up()
        await wait_all_tasks_blocked()
    assert await call.over() is not None


async def test_without_a_descriptor_live_tunnels_share_the_pipes_that_there_are(edge: Edge) -> None:
    slow, fast = await edge.call(pair=small_tcp_pair), await edge.call()
    await edge.park(slow.pod, bytes(PLENTY))
    await echo(fast)
    with no_more_pipes(edge.hub):
        await echo(fast, 20)
        other = slow.pod.sent
        assert len(await slow.client.read(other)) == other
        await echo(slow)


@pytest.mark.parametrize("pipes", [0, 1])
async def test_without_a_descriptor_early_bytes_are_refused_with_nothing_sent(edge: Edge, pipes: int) -> None:
    call = Call(tcp_pair(), tcp_pair())
    with no_more_pipes(edge.hub, clean=pipes):
        await call.run(edge.hub, TunnelLimits(1.0, 1.0, 1.0), b"101", b"early")
    assert isinstance(call.error, OSError)
    assert call.error.errno == errno.EMFILE
    assert call.end is None
    assert await call.client.read(3) == b""
    assert await call.pod.read(5) == b""
    call.hang_up()
    assert (edge.hub.tunnels, edge.hub.pipes.in_use) == (0, 0)
    await echo(await edge.call())


# A small socket buffer fills up with the last pipe's bytes: from then on it is that tunnel's, until the peer reads.
async def test_the_last_pipe_comes_back_from_one_that_did_not_take_all_of_it(edge: Edge) -> None:
    call, other = await edge.call(pair=small_tcp_pair), await edge.call()
    last = edge.hub.pipes.take_last()
    assert last is not None
    with no_more_pipes(edge.hub):
        await call.pod.send(b"waits")
        await wait_all_tasks_blocked()
        assert call.client.is_quiet()
        assert await edge.sleeps(), "it waits, and does not ask again and again"
    edge.hub._mover.pipes.give(last)
    await echo(other)
    assert await call.client.read(5) == b"waits"
