"""No busy loop: in every state in which nothing can move, the hub sleeps."""

from __future__ import annotations

import random
import socket

import pytest
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.relay.api import TunnelEnd
from tests.relay.harness import PLENTY, Call, Edge, Peer, Shutdown, small_tcp_pair, tcp_pair, unix_pair

DATA = random.Random(1).randbytes(PLENTY)


@pytest.fixture(params=["client", "pod"])
def first(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _ends(call: Call, first: str) -> tuple[Peer, Peer]:
    return (call.client, call.pod) if first == "client" else (call.pod, call.client)


async def test_nothing_happens_in_a_tunnel_without_bytes(edge: Edge) -> None:
    await edge.call()
    assert await edge.sleeps()


async def test_one_frame_is_one_wake_up(edge: Edge) -> None:
    call = await edge.call()
    before = edge.hub.turns
    await call.client.send(b"frame")
    assert await call.pod.read(5) == b"frame"
    assert await edge.sleeps()
    assert edge.hub.turns - before == 1


async def test_after_a_half_close(edge: Edge, first: str) -> None:
    call = await edge.call()
    leaver, stayer = _ends(call, first)
    leaver.half_close()
    assert await stayer.read_to_end() == (b"", Shutdown.EOF)
    assert await edge.sleeps()


# The socket of one who closed after it was half-closed from here is shut both ways: EPOLLHUP, for ever.
async def test_with_a_fully_shut_socket_and_bytes_parked_for_the_other(edge: Edge, first: str) -> None:
    call = await edge.call(pair=small_tcp_pair)
    leaver, stayer = _ends(call, first)
    stayer.half_close()
    assert await leaver.read_to_end() == (b"", Shutdown.EOF)
    await edge.park(leaver, DATA)
    leaver.half_close()
    assert await edge.sleeps()
    assert (await stayer.read_to_end())[0] == DATA[: leaver.sent]


async def test_with_bytes_parked_one_way(edge: Edge, first: str) -> None:
    call = await edge.call(pair=small_tcp_pair)
    await edge.park(_ends(call, first)[0], DATA)
    assert await edge.sleeps()


async def test_with_bytes_parked_both_ways(edge: Edge) -> None:
    call = await edge.call(pair=small_tcp_pair)
    await edge.park(call.client, DATA)
    await edge.park(call.pod, DATA)
    assert await edge.sleeps()


async def test_with_bytes_parked_and_their_sender_gone(edge: Edge, first: str) -> None:
    call = await edge.call(pair=small_tcp_pair)
    leaver, _ = _ends(call, first)
    await edge.park(leaver, DATA)
    leaver.reset()
    assert await edge.sleeps()


# The write towards the one who is gone has failed, and what it sent is still parked: its socket stays broken.
async def test_with_a_broken_socket_whose_bytes_are_parked(edge: Edge, first: str) -> None:
    call = await edge.call(pair=small_tcp_pair)
    leaver, stayer = _ends(call, first)
    await edge.park(leaver, DATA)
    await edge.park(stayer, DATA)
    leaver.reset()
    await wait_all_tasks_blocked()
    assert edge.hub.pipes.in_use == 1
    assert await edge.sleeps()
    assert call.end is None
    assert DATA.startswith((await stayer.read_to_end())[0])


async def test_after_a_late_reset(edge: Edge, first: str) -> None:
    call = await edge.call()
    leaver, stayer = _ends(call, first)
    leaver.half_close()
    assert await stayer.read_to_end() == (b"", Shutdown.EOF)
    leaver.reset()
    assert await edge.sleeps()
    await stayer.send(b"nobody takes this")
    assert await edge.sleeps()
    assert call.end is None


@pytest.mark.parametrize("unread", [False, True])
async def test_after_the_end(edge: Edge, first: str, unread: bool) -> None:
    call = await edge.call()
    leaver, stayer = _ends(call, first)
    if unread:
        await stayer.send(b"x")
        await wait_all_tasks_blocked()
    leaver.close()
    await wait_all_tasks_blocked()
    stayer.close()
    await call.over()
    assert await edge.sleeps()


# A Unix socket hangs up as soon as its other end is closed, whatever can still be read.
async def test_with_a_closed_unix_socket_and_its_bytes_parked(edge: Edge, first: str) -> None:
    call = await edge.call(pair=unix_pair)
    leaver, stayer = _ends(call, first)
    await edge.park(leaver, DATA)
    leaver.close()
    assert await edge.sleeps()
    received, ending = await stayer.read_to_end()
    assert (received == DATA[: leaver.sent], ending) == (True, Shutdown.EOF)
    stayer.close()
    assert await call.over() == TunnelEnd(Side(first), "eof")


async def test_at_urgent_data_for_a_full_reader(edge: Edge) -> None:
    pairs = iter((tcp_pair(), small_tcp_pair()))
    call = await edge.call(pair=pairs.__next__)
    await call.client.send(DATA[: 1 << 20])
    call.client.sock.send(b"!", socket.MSG_OOB)
    assert await edge.sleeps()
    assert await call.pod.read((1 << 20) + 1) == DATA[: 1 << 20] + b"!"
    assert await edge.sleeps()
