"""Deadlines, on a clock that a test moves by hand: the sockets are real, and the clock never jumps by itself."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.errors import Side
from splicer.relay import sweep
from splicer.relay.api import TunnelEnd, TunnelLimits
from tests.relay.harness import PLENTY, Call, Edge, Shutdown, settle, small_tcp_pair, tcp_pair, until

LIMITS = TunnelLimits(idle=60.0, half_closed=30.0, lifetime=math.inf)


async def _later(clock: MockClock, seconds: float) -> None:
    clock.jump(seconds)
    await wait_all_tasks_blocked()


async def _frame(call: Call) -> None:
    await call.client.send(b"frame")
    assert await call.pod.read(5) == b"frame"


async def test_a_tunnel_without_a_byte_ends_when_idle_runs_out(edge: Edge, mock_clock: MockClock) -> None:
    call = await edge.call(LIMITS)
    await _later(mock_clock, 59.9)
    assert call.end is None
    await _later(mock_clock, 0.1)
    assert call.end == TunnelEnd(Side.PROXY, "idle")
    assert await call.client.read_to_end() == (b"", Shutdown.EOF)
    assert await call.pod.read_to_end() == (b"", Shutdown.EOF)


async def test_a_byte_either_way_postpones_idle(edge: Edge, mock_clock: MockClock) -> None:
    call = await edge.call(LIMITS)
    for _ in range(3):
        await _later(mock_clock, 59.0)
        await _frame(call)
        await _later(mock_clock, 59.0)
        await call.pod.send(b"frame")
        assert await call.client.read(5) == b"frame"
    await _later(mock_clock, 59.0)
    assert call.end is None
    await _later(mock_clock, 1.0)
    assert call.end == TunnelEnd(Side.PROXY, "idle")


async def test_one_tunnels_traffic_does_not_postpone_anothers_idle(edge: Edge, mock_clock: MockClock) -> None:
    quiet, busy = await edge.call(LIMITS), await edge.call(LIMITS)
    await _later(mock_clock, 59.0)
    await _frame(busy)
    await _later(mock_clock, 1.0)
    assert (quiet.end, busy.end) == (TunnelEnd(Side.PROXY, "idle"), None)


async def test_a_tunnel_that_comes_later_with_a_shorter_deadline_is_not_overlooked(
    edge: Edge, mock_clock: MockClock
) -> None:
    await edge.call(LIMITS)
    short = await edge.call(TunnelLimits(idle=0.25, half_closed=30.0, lifetime=math.inf))
    await _later(mock_clock, 0.25)
    assert short.end == TunnelEnd(Side.PROXY, "idle")


async def test_parked_bytes_do_not_postpone_idle_but_their_leaving_does(edge: Edge, mock_clock: MockClock) -> None:
    call = await edge.call(LIMITS, pair=small_tcp_pair)
    await edge.park(call.pod, bytes(PLENTY))
    await _later(mock_clock, 59.0)
    await call.client.read(call.pod.sent)
    await _later(mock_clock, 59.0)
    assert call.end is None
    await edge.park(call.pod, bytes(PLENTY))
    await _later(mock_clock, 60.0)
    assert call.end == TunnelEnd(Side.PROXY, "idle")


async def test_a_half_closed_tunnel_ends_under_its_own_deadline(edge: Edge, mock_clock: MockClock) -> None:
    call = await edge.call(LIMITS)
    await _later(mock_clock, 50.0)
    call.client.half_close()
    assert await call.pod.read_to_end() == (b"", Shutdown.EOF)
    await _later(mock_clock, 29.0)
    await call.pod.send(b"the rest")
    assert await call.client.read(8) == b"the rest"
    await _later(mock_clock, 29.0)
    assert call.end is None
    await _later(mock_clock, 1.0)
    assert call.end == TunnelEnd(Side.PROXY, "half_closed")


async def test_half_closed_may_be_shorter_than_the_pause_between_two_sweeps(edge: Edge, mock_clock: MockClock) -> None:
    call = await edge.call(TunnelLimits(idle=60.0, half_closed=0.25, lifetime=math.inf))
    call.pod.half_close()
    assert await call.client.read_to_end() == (b"", Shutdown.EOF)
    await _later(mock_clock, 0.25)
    assert call.end == TunnelEnd(Side.PROXY, "half_closed")


# The client is gone, and what it said last waits for a pod that does not read: no reason to keep both for an hour.
async def test_a_broken_leg_makes_a_tunnel_half_closed(edge: Edge, mock_clock: MockClock) -> None:
    call = await edge.call(LIMITS, pair=small_tcp_pair)
    await edge.park(call.client, bytes(PLENTY))
    await settle()
    await _later(mock_clock, 50.0)
    call.client.reset()
    await call.pod.send(b"nobody takes this")
    await wait_all_tasks_blocked()
    await _later(mock_clock, 29.0)
    await call.pod.send(b"nor this")
    await wait_all_tasks_blocked()
    assert call.end is None
    await _later(mock_clock, 1.0)
    assert call.end == TunnelEnd(Side.CLIENT, "reset", reset=True)


async def test_a_lifetime_ends_a_tunnel_in_the_middle_of_its_traffic(edge: Edge, mock_clock: MockClock) -> None:
    call = await edge.call(TunnelLimits(idle=60.0, half_closed=30.0, lifetime=100.0))
    await _later(mock_clock, 50.0)
    await _frame(call)
    await _later(mock_clock, 49.0)
    await _frame(call)
    assert call.end is None
    await _later(mock_clock, 1.0)
    assert call.end == TunnelEnd(Side.PROXY, "lifetime")


async def test_never_is_never(edge: Edge, mock_clock: MockClock) -> None:
    call = await edge.call(TunnelLimits(math.inf, math.inf, math.inf))
    await _later(mock_clock, 1e9)
    call.client.half_close()
    assert await call.pod.read_to_end() == (b"", Shutdown.EOF)
    await _later(mock_clock, 1e9)
    assert call.end is None


# Frames have their turn between two slices of a sweep; meanwhile tunnels come, end and are cancelled.
async def test_a_sweep_lets_others_run_in_between(
    edge: Edge, nursery: trio.Nursery, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_SLICE", 1)
    calls = [await edge.call(LIMITS) for _ in range(20)]
    mock_clock.jump(60.0)
    await until(lambda: edge.hub.tunnels < 20)
    assert edge.hub.tunnels > 10
    calls[-1].scope.cancel()
    for call in calls[15:19]:
        call.hang_up()
    edge.hub.turn()
    late = Call(tcp_pair(), tcp_pair())
    nursery.start_soon(late.run, edge.hub, TunnelLimits(0.5, 0.5, math.inf), b"", b"")
    await wait_all_tasks_blocked()
    assert [call.end for call in calls[:15]] == [TunnelEnd(Side.PROXY, "idle")] * 15
    assert [call.end and call.end.reason for call in calls[15:]] == ["eof"] * 4 + [None]
    assert edge.hub.tunnels == 1
    await _later(mock_clock, 0.5)
    assert late.end == TunnelEnd(Side.PROXY, "idle")
    late.hang_up()


async def test_a_sweep_leaves_what_ended_meanwhile_as_it_ended(
    edge: Edge, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_SLICE", 1)
    for _ in range(10):  # whether the sweep or the ended tunnel runs first is Trio's choice
        calls = [await edge.call(LIMITS) for _ in range(20)]
        mock_clock.jump(60.0)
        await until(lambda: edge.hub.tunnels < 20)
        alive = edge.hub.tunnels
        edge.hub.end_all(Side.PROXY, "drain")
        ends = [await call.over() for call in calls]
        assert ends.count(TunnelEnd(Side.PROXY, "drain")) == alive
        await wait_all_tasks_blocked()
