"""A connection that breaks takes nothing back: the other one gets all that was acknowledged to its sender."""

from __future__ import annotations

import math
import random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.errors import Side
from splicer.relay.api import ResumeState, TunnelEnd, TunnelLimits
from tests.relay.harness import (
    FOREVER,
    PLENTY,
    SMALL,
    Call,
    CountingHub,
    Edge,
    Peer,
    Shutdown,
    running,
    settle,
    small_tcp_pair,
)

DATA = random.Random(3).randbytes(PLENTY)
HALF = TunnelLimits(idle=math.inf, half_closed=20.0, lifetime=math.inf)


@pytest.fixture(params=[Side.CLIENT, Side.POD])
def side(request: pytest.FixtureRequest) -> Side:
    """Whose connection breaks."""
    side: Side = request.param
    return side


def ends(call: Call, side: Side) -> tuple[Peer, Peer]:
    """Who leaves, and who stays."""
    return (call.client, call.pod) if side is Side.CLIENT else (call.pod, call.client)


def taken(call: Call, side: Side) -> int:
    """The count of what went from the one who left to the one who stays."""
    return call.tally[0 if side is Side.CLIENT else 1]


async def broken_off(edge: Edge, side: Side, limits: TunnelLimits = FOREVER) -> tuple[Call, int]:
    """A call that one side has reset, with so many bytes on the way that it knows to have arrived; nobody reads yet."""
    call = await edge.call(limits, pair=small_tcp_pair)
    size = await waiting(edge, call, side)
    ends(call, side)[0].reset()
    await settle()
    assert (call.end, edge.hub.pipes.in_use) == (None, 0)
    return call, size


async def waiting(edge: Edge, call: Call, side: Side) -> int:
    """Write until some of it waits in the socket towards the one who stays, and nothing in a pipe; how much it was."""
    leaver, pipes = ends(call, side)[0], edge.hub.pipes.in_use
    towards = Peer(call.inner[1 if side is Side.CLIENT else 0])
    await leaver.send(DATA[: 2 * SMALL])  # the other end's receive buffer, at most
    while towards.unacknowledged() < 20_000:
        await leaver.flushed()
        await settle()
        leaver.offer(DATA[leaver.sent : leaver.sent + 10_000])
    await leaver.flushed()
    await settle()
    assert edge.hub.pipes.in_use == pipes
    return leaver.sent


async def test_a_reset_comes_behind_all_that_was_acknowledged(edge: Edge, side: Side) -> None:
    call, size = await broken_off(edge, side)
    received, ending = await ends(call, side)[1].read_to_end()
    assert (received == DATA[:size], ending) == (True, Shutdown.RESET)
    assert await call.over() == TunnelEnd(side, "reset", reset=True)
    assert taken(call, side) == size


async def test_the_time_for_it_is_that_of_a_half_closed_tunnel(edge: Edge, mock_clock: MockClock, side: Side) -> None:
    call, size = await broken_off(edge, side, HALF)
    mock_clock.jump(19.9)
    await settle()
    assert call.end is None
    mock_clock.jump(0.2)
    await settle()
    assert call.end == TunnelEnd(side, "reset", reset=True)
    received, ending = await ends(call, side)[1].read_to_end()
    assert ending is Shutdown.RESET
    assert len(received) == taken(call, side) < size
    assert DATA.startswith(received)


# Neither does one who talks get more time.
async def test_who_writes_before_he_reads_gets_it_too(edge: Edge, mock_clock: MockClock, side: Side) -> None:
    call, size = await broken_off(edge, side, HALF)
    _, stayer = ends(call, side)
    await stayer.send(DATA)
    mock_clock.jump(19.0)
    await stayer.send(DATA)
    assert await stayer.read(size) == DATA[:size]
    await settle()
    mock_clock.jump(0.5)
    await settle()
    assert call.end == TunnelEnd(side, "reset", reset=True)
    assert sum(call.tally) == size


async def test_what_waits_in_a_pipe_for_the_one_who_is_gone_is_dropped(edge: Edge, side: Side) -> None:
    call = await edge.call(pair=small_tcp_pair)
    leaver, stayer = ends(call, side)
    await edge.park(stayer, DATA)
    arrived = stayer.sent - stayer.unacknowledged()
    size = await waiting(edge, call, side)
    leaver.reset()
    received, ending = await stayer.read_to_end()
    assert (received == DATA[:size], ending) == (True, Shutdown.RESET)
    assert await call.over() == TunnelEnd(side, "reset", reset=True)
    assert taken(call, side) == size
    assert 0 < sum(call.tally) - size < arrived, "what the one who left has acknowledged, and nothing else"


async def test_who_says_no_more_still_gets_it(edge: Edge, side: Side) -> None:
    call, size = await broken_off(edge, side)
    _, stayer = ends(call, side)
    stayer.half_close()
    await settle()
    received, ending = await stayer.read_to_end()
    assert (received == DATA[:size], ending) == (True, Shutdown.RESET)
    assert await call.over() == TunnelEnd(side, "reset", reset=True)
    assert taken(call, side) == size


@pytest.mark.parametrize("said_all", [False, True])
async def test_who_leaves_as_well_ends_it(edge: Edge, side: Side, said_all: bool) -> None:
    call, size = await broken_off(edge, side)
    _, stayer = ends(call, side)
    if said_all:
        stayer.half_close()
        await settle()
    stayer.reset()
    assert await call.over() == TunnelEnd(side, "reset", reset=True)
    assert 0 < taken(call, side) < size


@pytest.mark.parametrize("how", ["operator", "all"])
async def test_another_end_meanwhile_is_not_why(edge: Edge, side: Side, how: str) -> None:
    call, size = await broken_off(edge, side)
    if how == "all":
        edge.hub.end_all(Side.PROXY, "drain")
    else:
        edge.hub.end(edge.hub.views()[0], Side.PROXY, "operator")
    assert await call.over() == TunnelEnd(side, "reset", reset=True)
    assert 0 < taken(call, side) < size


async def test_a_reset_behind_nothing_is_passed_on_at_once(edge: Edge, mock_clock: MockClock, side: Side) -> None:
    call = await edge.call(HALF)
    leaver, stayer = ends(call, side)
    await leaver.send(b"hello")
    assert await stayer.read(5) == b"hello"
    await settle()
    leaver.reset()
    await wait_all_tasks_blocked()
    assert call.end == TunnelEnd(side, "reset", reset=True)


# A worker that is killed, or leaves: the next one has the same sockets, of which one is closed.
async def test_another_worker_goes_on_with_it(edge: Edge, side: Side) -> None:
    call, size = await broken_off(edge, side)
    inner = call.inner[0].dup(), call.inner[1].dup()
    for sock in inner:
        sock.setblocking(False)
    edge.hub.let_go()
    assert (edge.hub.tunnels, edge.hub.left) == (0, 1)
    _, stayer = ends(call, side)
    heir = Call((call.client.sock, inner[0]), (call.pod.sock, inner[1]))
    async with running(CountingHub()) as next_edge:
        to_pod, to_client = (size, 0) if side is Side.CLIENT else (0, size)
        await next_edge.take(heir, past=ResumeState(broken=side, to_pod=to_pod, to_client=to_client))
        assert heir.end is None
        received, ending = await stayer.read_to_end()
        assert (received == DATA[:size], ending) == (True, Shutdown.RESET)
        assert await heir.over() == TunnelEnd(side, "reset", reset=True)
        assert taken(heir, side) == size


# One look costs each of them a system call, and all frames wait meanwhile.
async def test_many_at_once_leave_the_others_their_turn(edge: Edge) -> None:
    broken = [(await broken_off(edge, Side.POD))[0] for _ in range(9)]
    call = await edge.call()
    await call.client.send(b"hello")
    assert await call.pod.read(5) == b"hello"
    for one in broken:
        assert (await one.client.read_to_end())[1] is Shutdown.RESET
        assert await one.over() == TunnelEnd(Side.POD, "reset", reset=True)
    assert edge.hub.tunnels == 1


async def test_nobody_looks_when_nothing_is_left(edge: Edge, mock_clock: MockClock) -> None:
    call, size = await broken_off(edge, Side.POD)
    await call.client.read(size)
    await settle()
    mock_clock.jump(0.1)
    await settle()
    assert call.end is not None
    assert trio.lowlevel.current_statistics().seconds_to_next_deadline > 0.5, "only the sweep is left"
