"""Cancellation, descriptors and pipes: nothing leaks, neither descriptors nor one call's bytes into another's.

The fixtures check after every test here, and in this folder, that no descriptor and no pipe stayed behind.
"""

from __future__ import annotations

import gc
import random

import pytest
import trio
from trio.testing import MockClock

from splicer.errors import Side
from splicer.relay.api import TunnelEnd, TunnelLimits
from splicer.relay.tunnel import Tunnel
from tests.relay.frames import echo
from tests.relay.harness import PLENTY, Call, CountingHub, Edge, Peer, small_tcp_pair, tcp_pair

SECRET = b"another call's audio "


async def test_a_hub_leaves_nothing_open() -> None:
    with CountingHub().opened():
        pass


@pytest.mark.parametrize("seed", range(5))
async def test_a_splice_may_be_cancelled_at_any_moment(edge: Edge, seed: int) -> None:
    choice = random.Random(seed)
    steady = await edge.call()

    async def talk_and_cancel() -> None:
        call = await edge.call(pair=choice.choice((tcp_pair, small_tcp_pair)), to_pod=b"x" * choice.randrange(9))
        async with trio.open_nursery() as nursery:
            for writer in (call.client, call.pod):
                nursery.start_soon(_send_until_broken, writer)
            for _ in range(choice.randrange(30)):
                await trio.lowlevel.checkpoint()
            call.scope.cancel()
            assert await call.over() is None
            nursery.cancel_scope.cancel()
        assert len(call.tally) == 2

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(talk_and_cancel)
        await echo(steady, 50)
    assert (edge.hub.tunnels, edge.hub.pipes.in_use) == (1, 0)
    await echo(steady)


async def _send_until_broken(peer: Peer) -> None:
    try:
        await peer.send(bytes(PLENTY))
    except OSError:
        return


async def test_a_splice_cancelled_before_it_begins_leaves_both_sockets_alone(edge: Edge) -> None:
    call = Call(tcp_pair(), tcp_pair())
    call.scope.cancel()
    await call.run(edge.hub, TunnelLimits(1.0, 1.0, 1.0), b"", b"")
    assert (call.end, edge.hub.tunnels) == (None, 0)
    call.hang_up()


def _tunnels_in_memory() -> int:
    gc.collect()
    return sum(isinstance(thing, Tunnel) for thing in gc.get_objects())


async def test_nothing_is_kept_of_an_ended_tunnel(edge: Edge) -> None:
    before = _tunnels_in_memory()
    calls = [await edge.call() for _ in range(3)]
    calls[0].client.reset()
    calls[1].scope.cancel()
    calls[2].hang_up()
    for call in calls:
        await call.over()
    assert _tunnels_in_memory() - before <= 1  # the sweeper's frame holds the one that it looked at last


# The numbers of closed sockets come back at once, for other calls: no event of the old ones may reach these.
async def test_descriptor_numbers_are_used_again_at_once(edge: Edge) -> None:
    for _ in range(30):
        calls = [await edge.call() for _ in range(4)]
        for call in calls:
            await call.client.send(b"unread")
        for call in calls[::2]:
            call.scope.cancel()
        for call in calls[1::2]:
            call.client.reset()
        for call in calls:
            await call.over()
            call.hang_up()
        fresh = await edge.call()
        await echo(fresh, 1)
        fresh.hang_up()
        await fresh.over()
    assert (edge.hub.tunnels, edge.hub.pipes.in_use) == (0, 0)


# Before its task has run again, the hub may come upon its sockets.
async def test_a_cancelled_splice_that_ends_in_the_same_moment_is_cancelled(edge: Edge) -> None:
    calls = [await edge.call() for _ in range(2)]
    for call in calls:
        call.scope.cancel()
        call.pod.reset()
    edge.hub.turn()
    edge.hub.end_all(Side.PROXY, "drain")
    for call in calls:
        assert await call.over() is None


async def test_an_ended_splice_that_is_cancelled_in_the_same_moment_has_ended(edge: Edge) -> None:
    call = await edge.call()
    edge.hub.end_all(Side.PROXY, "drain")
    call.scope.cancel()
    assert await call.over() == TunnelEnd(Side.PROXY, "drain")


async def test_end_all_ends_every_tunnel_and_the_hub_goes_on(edge: Edge) -> None:
    calls = [await edge.call(pair=small_tcp_pair) for _ in range(10)]
    await edge.park(calls[0].client, bytes(PLENTY))
    calls[1].client.half_close()
    edge.hub.end_all(Side.PROXY, "drain")
    assert edge.hub.tunnels == 0
    for call in calls:
        assert await call.over() == TunnelEnd(Side.PROXY, "drain")
    assert edge.hub.pipes.in_use == 0
    await echo(await edge.call())


@pytest.mark.parametrize("how", ["cancelled", "ended", "idle", "reset"])
async def test_parked_bytes_never_reach_another_tunnel(edge: Edge, mock_clock: MockClock, how: str) -> None:
    calls = [await edge.call(TunnelLimits(60.0, 60.0, 1e9), pair=small_tcp_pair) for _ in range(3)]
    for call in calls:
        await edge.park(call.client, SECRET * (PLENTY // len(SECRET)))
        await edge.park(call.pod, SECRET * (PLENTY // len(SECRET)))
    assert edge.hub.pipes.in_use == 6
    for call in calls:
        if how == "cancelled":
            call.scope.cancel()
        elif how == "reset":
            call.client.reset()
            call.pod.reset()
    if how == "ended":
        edge.hub.end_all(Side.PROXY, "drain")
    elif how == "idle":
        mock_clock.jump(60.0)
    for call in calls:
        await call.over()
    assert edge.hub.pipes.in_use == 0
    for _ in range(10):
        call = await edge.call(to_pod=b"early", to_client=b"101")
        assert (await call.pod.read(5), await call.client.read(3)) == (b"early", b"101")
        await echo(call)


async def test_many_parked_pipes_are_not_all_kept(edge: Edge) -> None:
    calls = [await edge.call(to_client=b"h" * 60_000, pair=lambda: tcp_pair(4096)) for _ in range(80)]
    assert edge.hub.pipes.in_use == 80
    for call in calls:
        assert len(await call.client.read(60_000)) == 60_000
    assert edge.hub.pipes.in_use == 0
    assert 0 < edge.hub.pipes.idle < 80
