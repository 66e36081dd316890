"""How the hub goes on with tunnels of another worker."""

from __future__ import annotations

import math
import random
import socket

import pytest
import trio
from trio.testing import MockClock

from splicer.errors import Side
from splicer.relay.api import ResumeState, TunnelEnd, TunnelLimits
from tests.relay.frames import talk
from tests.relay.harness import PLENTY, Call, Edge, pipe_with, small_tcp_pair, tcp_pair, until


@pytest.mark.parametrize(("to_pod", "to_client"), [(b"", b""), (b"left", b""), (b"", b"over"), (b"left", b"over")])
async def test_what_another_worker_left_in_pipes_goes_first(edge: Edge, to_pod: bytes, to_client: bytes) -> None:
    call = Call(tcp_pair(), tcp_pair())
    await call.client.send(b" up")
    await call.pod.send(b" down")
    pipes = pipe_with(to_pod) if to_pod else None, pipe_with(to_client) if to_client else None
    await edge.take(call, past=ResumeState(pipes, to_pod=100, to_client=2000))
    assert await call.pod.read(len(to_pod) + 3) == to_pod + b" up"
    assert await call.client.read(len(to_client) + 5) == to_client + b" down"
    assert edge.hub.pipes.in_use == 0
    call.client.half_close()
    call.pod.half_close()
    assert await call.over() == TunnelEnd(Side.CLIENT, "eof")
    assert call.tally == [100 + len(to_pod) + 3, 2000 + len(to_client) + 5]


async def test_a_pipe_that_proves_empty_is_closed(edge: Edge) -> None:
    call = Call(tcp_pair(), tcp_pair())
    await edge.take(call, past=ResumeState((pipe_with(b""), pipe_with(b""))))
    assert edge.hub.pipes.in_use == 0
    await talk(call)


async def test_an_end_of_stream_does_not_overtake_bytes_that_another_worker_left(edge: Edge) -> None:
    call = Call(small_tcp_pair(), small_tcp_pair())
    filled = call.inner[1].send(bytes(PLENTY))  # until the pod has read, nothing more goes in
    left = random.Random(5).randbytes(60_000)
    call.client.half_close()
    await edge.take(call, past=ResumeState((pipe_with(left), None)))
    assert edge.hub.pipes.in_use == 1
    assert await edge.sleeps()
    received = await call.pod.read_to_end()
    assert received[0][filled:] == left
    call.pod.half_close()
    assert await call.over() == TunnelEnd(Side.CLIENT, "eof")


@pytest.mark.parametrize("gone", ["half-closed", "closed"])
async def test_a_peer_that_left_in_the_gap_ends_its_tunnel_in_order(edge: Edge, gone: str) -> None:
    call = Call(tcp_pair(), tcp_pair())
    await call.client.send(b"last words")
    call.client.half_close()
    if gone == "closed":
        call.client.close()
    await edge.take(call, past=ResumeState())
    assert await call.pod.read(11) == b"last words"
    call.pod.close()
    assert await call.over() == TunnelEnd(Side.CLIENT, "eof")


# The dead worker had read the end of stream, and passed it on: both can be done again.
async def test_a_tunnel_that_was_half_closed_is_so_again(edge: Edge) -> None:
    call = Call(tcp_pair(), tcp_pair())
    call.client.half_close()
    await until(lambda: not call.client.unacknowledged())
    assert call.inner[0].recv(1) == b""
    call.inner[1].shutdown(socket.SHUT_WR)
    await edge.take(call, TunnelLimits(math.inf, 5.0, math.inf), past=ResumeState())
    assert await call.pod.read(1) == b""
    await call.pod.send(b"the rest")
    assert await call.client.read(8) == b"the rest"
    call.pod.half_close()
    assert await call.over() == TunnelEnd(Side.CLIENT, "eof")


@pytest.mark.parametrize("side", [Side.CLIENT, Side.POD])
async def test_a_reset_of_which_another_worker_was_told_is_passed_on(edge: Edge, side: Side) -> None:
    call = Call(tcp_pair(), tcp_pair())
    if side is Side.CLIENT:
        (one, inner), other = (call.client, call.inner[0]), call.pod
    else:
        (one, inner), other = (call.pod, call.inner[1]), call.client
    one.reset()
    await trio.lowlevel.wait_readable(inner)
    with pytest.raises(ConnectionResetError):
        inner.recv(1)
    await edge.take(call, past=ResumeState(broken=side))
    assert await call.over() == TunnelEnd(side, "reset", reset=True)
    assert (await other.read_to_end())[1] == "reset"


@pytest.mark.parametrize(
    ("past", "reason", "seconds"),
    [
        (ResumeState(silent=7.0), "idle", 3.0),
        (ResumeState(age=96.0), "lifetime", 4.0),
        (ResumeState(silent=70.0), "idle", 0.0),
        (ResumeState(silent=1.0, age=99.0), "lifetime", 1.0),
        (ResumeState(), "idle", 10.0),
    ],
)
async def test_deadlines_go_on_from_where_they_were(
    edge: Edge, autojump_clock: MockClock, past: ResumeState, reason: str, seconds: float
) -> None:
    began = trio.current_time()
    call = await edge.call(TunnelLimits(idle=10.0, half_closed=5.0, lifetime=100.0), past=past)
    assert await call.over() == TunnelEnd(Side.PROXY, reason)
    assert trio.current_time() - began == pytest.approx(seconds, abs=0.1)
