"""How a tunnel ends: half-closes, resets, and what must still arrive. Each law holds in both ways."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable

import pytest
from attrs import frozen
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.relay.api import TunnelEnd
from tests.kit.garbage import counting_garbage
from tests.relay.harness import (
    PLENTY,
    Call,
    Edge,
    Pair,
    Peer,
    Shutdown,
    small_tcp_pair,
    tcp_pair,
    unix_pair,
    until,
)

DATA = random.Random(1).randbytes(PLENTY)


@frozen
class Way:
    """Who leaves first in this run of the test, and who stays."""

    side: Side

    @property
    def other(self) -> Side:
        return Side.POD if self.side is Side.CLIENT else Side.CLIENT

    def leaver(self, call: Call) -> Peer:
        return call.client if self.side is Side.CLIENT else call.pod

    def stayer(self, call: Call) -> Peer:
        return call.pod if self.side is Side.CLIENT else call.client

    def pairs(self, leaver: Pair, stayer: Pair) -> tuple[Pair, Pair]:
        """Client's and pod's."""
        return (leaver, stayer) if self.side is Side.CLIENT else (stayer, leaver)


@pytest.fixture(params=[Side.CLIENT, Side.POD])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)


@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
async def test_a_half_close_leaves_the_other_way_open(edge: Edge, way: Way, pair: Callable[[], Pair]) -> None:
    call = await edge.call(pair=pair)
    leaver, stayer = way.leaver(call), way.stayer(call)
    await leaver.send(b"that was all")
    leaver.half_close()
    assert await stayer.read_to_end() == (b"that was all", Shutdown.EOF)
    for number in range(10):
        await stayer.send(b"%d" % number)
        assert await leaver.read(1) == b"%d" % number
    stayer.half_close()
    assert await leaver.read_to_end() == (b"", Shutdown.EOF)
    end = await call.over()
    assert end == TunnelEnd(way.side, "eof")
    assert end.shut is way.other, "it had got its end of stream before"


async def test_two_half_closes_at_once_end_it(edge: Edge) -> None:
    call = await edge.call()
    for peer in (call.client, call.pod):
        await peer.send(b"bye")
        peer.half_close()
    assert await call.client.read_to_end() == (b"bye", Shutdown.EOF)
    assert await call.pod.read_to_end() == (b"bye", Shutdown.EOF)
    end = await call.over()
    assert end is not None
    assert (end.reason, end.reset) == ("eof", False)


async def test_two_closes_at_once_end_it(edge: Edge) -> None:
    call = await edge.call()
    call.hang_up()
    end = await call.over()
    assert end is not None
    assert (end.reason, end.reset) == ("eof", False)


async def test_an_end_of_stream_does_not_overtake_parked_bytes(edge: Edge, way: Way) -> None:
    call = await edge.call(pair=small_tcp_pair)
    leaver, stayer = way.leaver(call), way.stayer(call)
    await edge.park(leaver, DATA)
    leaver.half_close()
    await stayer.send(b"the other way is open")
    assert await leaver.read(21) == b"the other way is open"
    received, ending = await stayer.read_to_end()
    assert (received == DATA[: leaver.sent], ending) == (True, Shutdown.EOF)
    stayer.close()
    assert await leaver.read_to_end() == (b"", Shutdown.EOF)
    assert await call.over() == TunnelEnd(way.side, "eof")


async def test_a_reset_is_passed_on_as_a_reset(edge: Edge, way: Way) -> None:
    call = await edge.call()
    leaver, stayer = way.leaver(call), way.stayer(call)
    await leaver.send(b"half a mess")
    assert await stayer.read(11) == b"half a mess"
    leaver.reset()
    assert await stayer.read_to_end() == (b"", Shutdown.RESET)
    assert await call.over() == TunnelEnd(way.side, "reset", reset=True)


async def test_a_close_with_unread_bytes_is_a_reset(edge: Edge, way: Way) -> None:
    call = await edge.call()
    await way.stayer(call).send(b"never read")
    await until(lambda: not way.leaver(call).is_quiet())
    way.leaver(call).close()
    assert await way.stayer(call).read_to_end() == (b"", Shutdown.RESET)
    assert await call.over() == TunnelEnd(way.side, "reset", reset=True)


async def test_a_reset_that_shows_itself_to_a_write_is_a_reset(edge: Edge, way: Way) -> None:
    leaving, staying = tcp_pair(), tcp_pair()
    Peer(leaving[0]).reset()
    call = await edge.call(pair=iter(way.pairs(leaving, staying)).__next__, to_client=b"101", to_pod=b"101")
    assert await way.stayer(call).read_to_end() == (b"101", Shutdown.RESET)
    assert await call.over() == TunnelEnd(way.side, "reset", reset=True)
    assert call.tally == ([3, 0] if way.side is Side.CLIENT else [0, 3])


async def test_two_resets_at_once_end_it(edge: Edge) -> None:
    call = await edge.call()
    call.client.reset()
    call.pod.reset()
    end = await call.over()
    assert end is not None
    assert end.reason == "reset"


async def test_a_reset_of_one_who_half_closed_is_passed_on_to_one_who_still_sends(edge: Edge, way: Way) -> None:
    call = await edge.call()
    leaver, stayer = way.leaver(call), way.stayer(call)
    stayer.half_close()
    assert await leaver.read_to_end() == (b"", Shutdown.EOF)
    leaver.reset()
    assert await stayer.read_to_end() == (b"", Shutdown.RESET)
    assert await call.over() == TunnelEnd(way.side, "reset", reset=True)


@pytest.mark.parametrize("both_ways", [False, True])
async def test_a_reset_while_bytes_are_parked_comes_after_them(edge: Edge, way: Way, both_ways: bool) -> None:
    call = await edge.call(pair=small_tcp_pair)
    leaver, stayer = way.leaver(call), way.stayer(call)
    await edge.park(leaver, DATA)
    if both_ways:
        await edge.park(stayer, DATA)
    leaver.reset()
    received, ending = await stayer.read_to_end()
    assert ending is Shutdown.RESET
    assert received
    assert DATA.startswith(received)
    assert await call.over() == TunnelEnd(way.side, "reset", reset=True)


async def test_a_reset_from_a_reader_that_never_read_reaches_the_blocked_writer(edge: Edge, way: Way) -> None:
    call = await edge.call(pair=small_tcp_pair)
    leaver, stayer = way.leaver(call), way.stayer(call)
    await edge.park(stayer, DATA)
    leaver.reset()
    with pytest.raises(ConnectionResetError):
        await stayer.send(DATA)
    assert await call.over() == TunnelEnd(way.side, "reset", reset=True)


# A prototype passed such a late reset on, and it cut the last 58 KB of what its sender had said.
async def test_a_reset_after_the_end_of_stream_takes_nothing_back(edge: Edge, way: Way) -> None:
    call = await edge.call(pair=small_tcp_pair)
    leaver, stayer = way.leaver(call), way.stayer(call)
    await leaver.send(DATA[:50_000])
    leaver.half_close()
    await leaver.flushed()
    await wait_all_tasks_blocked()
    leaver.reset()
    for _ in range(3):
        await stayer.send(b"nobody takes this")
        await wait_all_tasks_blocked()
    received, ending = await stayer.read_to_end()
    assert (received == DATA[:50_000], ending) == (True, Shutdown.EOF)
    stayer.close()
    assert await call.over() == TunnelEnd(way.side, "eof")


# The end of stream is there, but the hub has not read it when a write hears of the reset: at the start of a
# tunnel, and behind parked bytes.
async def test_a_late_reset_is_late_even_if_a_write_finds_it_first(edge: Edge, way: Way) -> None:
    leaving, staying = tcp_pair(), tcp_pair()
    gone = Peer(leaving[0])
    await gone.send(b"last words")
    gone.half_close()
    await gone.flushed()
    gone.reset()
    call = await edge.call(pair=iter(way.pairs(leaving, staying)).__next__, to_client=b"lost", to_pod=b"lost")
    stayer = way.stayer(call)
    assert await stayer.read_to_end() == (b"lostlast words", Shutdown.EOF)
    await stayer.send(b"dropped")
    stayer.half_close()
    assert await call.over() == TunnelEnd(way.side, "eof")


async def test_a_late_reset_found_by_a_write_leaves_parked_bytes_whole(edge: Edge, way: Way) -> None:
    pairs = way.pairs(leaver=tcp_pair(1 << 20), stayer=small_tcp_pair())
    call = await edge.call(pair=iter(pairs).__next__)
    leaver, stayer = way.leaver(call), way.stayer(call)
    await leaver.send(DATA[: 1 << 20])
    leaver.half_close()
    await leaver.flushed()
    await until(lambda: edge.hub.pipes.in_use == 1)
    leaver.reset()
    await stayer.send(b"nobody takes this")
    received, ending = await stayer.read_to_end()
    assert (received == DATA[: 1 << 20], ending) == (True, Shutdown.EOF)
    stayer.close()
    assert await call.over() == TunnelEnd(way.side, "eof")


# A pod that is done closes while its caller's audio goes on: an end of stream, then a reset for each frame.
async def test_frames_towards_one_who_has_closed_are_dropped(edge: Edge, way: Way) -> None:
    call = await edge.call()
    leaver, stayer = way.leaver(call), way.stayer(call)
    await leaver.send(b"bye")
    leaver.close()
    for _ in range(20):
        await stayer.send(b"f" * 160)
        await wait_all_tasks_blocked()
    assert await stayer.read_to_end() == (b"bye", Shutdown.EOF)
    stayer.close()
    assert await call.over() == TunnelEnd(way.side, "eof")


async def test_one_tunnels_end_leaves_the_others_alone(edge: Edge) -> None:
    calls = [await edge.call() for _ in range(9)]
    for call in calls[::3]:
        call.client.reset()
    for call in calls[1::3]:
        call.client.close()
    for call in calls[2::3]:
        await call.client.send(b"alive")
        assert await call.pod.read(5) == b"alive"
    assert await calls[0].over() == TunnelEnd(Side.CLIENT, "reset", reset=True)
    assert await calls[1].pod.read_to_end() == (b"", Shutdown.EOF)
    assert edge.hub.tunnels == 6


async def _hangs_up(edge: Edge, _: pytest.MonkeyPatch) -> Call:
    call = await edge.call()
    call.hang_up()
    return call


async def _is_cancelled(edge: Edge, _: pytest.MonkeyPatch) -> Call:
    call = await edge.call()
    call.scope.cancel()
    return call


async def _is_refused(edge: Edge, _: pytest.MonkeyPatch) -> Call:
    async def register() -> None:
        raise OSError("the vault is full")

    return await edge.call(register=register)


async def _meets_a_bug(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> Call:
    call, splice = await edge.call(), os.splice
    for tunnel in edge.hub._tunnels.values():
        tunnel.client.plain = True  # what is broken is Python

    def broken(src: int, dst: int, count: int, *, flags: int) -> int:
        if dst == call.inner[1].fileno():
            raise ZeroDivisionError
        return splice(src, dst, count, flags=flags)

    with monkeypatch.context() as patch:
        patch.setattr(os, "splice", broken)
        await call.client.send(b"x")
        await call.over()
    assert isinstance(call.error, ZeroDivisionError)
    return call


@pytest.mark.parametrize("end", [_hangs_up, _is_cancelled, _is_refused, _meets_a_bug])
async def test_a_tunnel_leaves_nothing_for_the_collector(
    edge: Edge, end: Callable[[Edge, pytest.MonkeyPatch], Awaitable[Call]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with counting_garbage() as count:
        for _ in range(3):
            call = await end(edge, monkeypatch)
            await call.over()
            call.error = None
        await wait_all_tasks_blocked()
        assert count() == 0
