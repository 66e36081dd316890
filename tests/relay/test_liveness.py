from __future__ import annotations

import math
import os
import select
import socket
import struct
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from splicer.errors import Side
from splicer.relay import sweep
from splicer.relay.api import TunnelEnd, TunnelLimits
from splicer.relay.liveness import PeerLiveness
from splicer.relay.tunnel import Leg, Tunnel
from tests.relay.harness import (
    FOREVER,
    PLENTY,
    CountingHub,
    Edge,
    Shutdown,
    running,
    small_tcp_pair,
    unix_pair,
    until,
)
from tests.relay.loopback import Loopback
from tests.relay.movers import MakeMover

CONFIGURED = 60_000  # ms


class FakeTcp(socket.socket):
    """Says of itself what the test wants; `option` is its TCP_USER_TIMEOUT in ms."""

    retransmits = probes = silent_ms = unsent = looks = 0
    option = CONFIGURED

    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:  # type: ignore[override]
        if name == socket.TCP_USER_TIMEOUT:
            return self.option
        assert (level, name) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        self.looks += 1
        info = bytearray(buflen)
        info[2:4] = self.retransmits, self.probes  # linux/tcp.h: struct tcp_info
        struct.pack_into("I", info, 56, self.silent_ms)
        struct.pack_into("I", info, 144, self.unsent)
        return bytes(info)

    def setsockopt(self, level: int, name: int, value: int) -> None:  # type: ignore[override]
        assert (level, name) == (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        self.option = value


@pytest.fixture
def tcp() -> Iterator[FakeTcp]:
    with FakeTcp() as sock:
        yield sock


@pytest.fixture
def tunnel(tcp: FakeTcp) -> Iterator[Tunnel]:
    """Its pod's socket is the fake one; 100 bytes were just written to it."""
    with socket.socket() as client:
        tunnel = Tunnel(Leg(client, Side.CLIENT), Leg(tcp, Side.POD), FOREVER, 0.0)
        tunnel.client.total = 100
        yield tunnel


def test_it_is_due_every_so_often() -> None:
    liveness = PeerLiveness(every=10.0)
    assert [now for now in range(35) if liveness.is_due(now)] == [0, 10, 20, 30]


def test_a_tunnel_without_traffic_costs_nothing(tunnel: Tunnel, tcp: FakeTcp) -> None:
    liveness = PeerLiveness()
    for _ in range(3):
        assert liveness.look(tunnel) is None
    assert (tcp.looks, tcp.option) == (1, CONFIGURED)
    tunnel.client.total += 1
    assert liveness.look(tunnel) is None
    assert tcp.looks == 2


def test_the_option_is_lifted_while_bytes_wait_and_then_restored(tunnel: Tunnel, tcp: FakeTcp) -> None:
    liveness = PeerLiveness()
    tcp.unsent = 5000
    for _ in range(3):
        assert liveness.look(tunnel) is None
        assert tcp.option == 0
    tcp.unsent = 0
    assert liveness.look(tunnel) is None
    assert tcp.option == CONFIGURED
    looks = tcp.looks
    assert liveness.look(tunnel) is None
    assert tcp.looks == looks


# All was sent at the first look, and the parked bytes followed into the socket: the window may shut on those.
def test_bytes_that_were_parked_at_the_last_look_are_seen(tunnel: Tunnel, tcp: FakeTcp) -> None:
    liveness = PeerLiveness()
    tunnel.client.parked = 70
    assert liveness.look(tunnel) is None
    tunnel.client.parked, tunnel.client.total, tcp.unsent = 0, 170, 70
    assert liveness.look(tunnel) is None
    assert tcp.option == 0


def test_an_unset_option_stays_unset_and_nobody_is_judged(tunnel: Tunnel, tcp: FakeTcp) -> None:
    liveness = PeerLiveness()
    tcp.option = 0
    tcp.unsent, tcp.probes, tcp.silent_ms = 5000, 9, 900_000
    for _ in range(3):
        assert liveness.look(tunnel) is None
    tcp.unsent = 0
    assert liveness.look(tunnel) is None
    assert tcp.option == 0


@pytest.mark.parametrize(
    ("silent_ms", "probes", "retransmits", "gone"),
    [
        (100, 0, 0, False),
        (CONFIGURED + 1, 0, 0, False),  # nothing waits for an answer: the next probe is not due
        (CONFIGURED + 1, 1, 0, False),  # its answer may be on the way, or lost
        (CONFIGURED + 1, 2, 0, True),
        (CONFIGURED + 1, 0, 1, False),
        (CONFIGURED + 1, 0, 2, True),
        (CONFIGURED, 5, 5, False),
    ],
)
def test_who_has_vanished(
    tunnel: Tunnel, tcp: FakeTcp, silent_ms: int, probes: int, retransmits: int, gone: bool
) -> None:
    liveness = PeerLiveness()
    tcp.unsent, tcp.silent_ms, tcp.probes, tcp.retransmits = 5000, silent_ms, probes, retransmits
    assert liveness.look(tunnel) is None
    assert liveness.look(tunnel) is (tunnel.pod if gone else None)


def test_what_is_no_tcp_is_left_to_its_own_errors() -> None:
    (_, client), (_, pod) = pairs = unix_pair(), unix_pair()
    tunnel = Tunnel(Leg(client, Side.CLIENT), Leg(pod, Side.POD), TunnelLimits(1.0, 1.0, 1.0), 0.0)
    tunnel.client.total = tunnel.pod.total = 5
    assert PeerLiveness().look(tunnel) is None
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()


# From here on the kernel has its say, with a user timeout that is over long before the test is.
SHORT = 1_000  # ms
LONG_SECONDS = 2.5  # seconds


def _shorten(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SHORT)


def _is_shut(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def _user_timeout(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@pytest.fixture
async def watchful(make_mover: MakeMover, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Edge]:
    """An edge that checks for liveness twenty times a second."""
    monkeypatch.setattr(sweep, "_SWEEP_INTERVAL", 0.05)
    async with running(CountingHub(PeerLiveness(every=0.05), mover=make_mover)) as edge:
        yield edge


@pytest.mark.slow
async def test_a_paused_reader_is_not_cut_while_it_acknowledges(watchful: Edge) -> None:
    data = os.urandom(PLENTY)
    call = await watchful.call(pair=small_tcp_pair)
    for sock in call.inner:
        _shorten(sock)
    await watchful.park(call.pod, data)
    await until(lambda: not _user_timeout(call.inner[0]))
    await trio.sleep(LONG_SECONDS)
    assert call.end is None
    assert await call.client.read(call.pod.sent) == data[: call.pod.sent]
    await until(lambda: _user_timeout(call.inner[0]) == SHORT)
    await call.pod.send(b"and on")
    assert await call.client.read(6) == b"and on"


@pytest.fixture
def network() -> Iterator[Loopback]:
    network = Loopback()
    yield network
    network.close()


@pytest.mark.parametrize("paused", [False, True])
async def test_a_peer_that_vanishes_ends_its_tunnel(watchful: Edge, network: Loopback, paused: bool) -> None:
    call = await watchful.call(pair=iter((network.pair, small_tcp_pair())).__next__)
    _shorten(call.inner[0])
    if paused:
        await watchful.park(call.pod, bytes(PLENTY))
        await until(lambda: not _user_timeout(call.inner[0]))
    network.take_down()
    if not paused:
        await call.pod.send(b"is anybody there?")
    assert await call.over() == TunnelEnd(Side.CLIENT, "timed_out")


async def test_a_leg_that_was_reset_behind_its_parked_bytes_does_not_stay_for_the_idle_hour(watchful: Edge) -> None:
    limits = TunnelLimits(idle=math.inf, half_closed=0.2, lifetime=math.inf)
    call = await watchful.call(limits=limits, pair=small_tcp_pair)
    await watchful.park(call.client, bytes(PLENTY))  # the pod reads nothing
    call.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    call.client.sock.close()
    assert await call.over() == TunnelEnd(Side.CLIENT, "reset", reset=True)


# Its last words wait for a pod that reads slowly, and it does not read itself.
async def test_what_a_peer_said_before_it_vanished_arrives(watchful: Edge, network: Loopback) -> None:
    call = await watchful.call(pair=iter((network.pair, small_tcp_pair())).__next__)
    _shorten(call.inner[0])
    data = os.urandom(PLENTY)
    await watchful.park(call.client, data)
    await watchful.park(call.pod, data)
    sent = call.client.sent - call.client.unacknowledged()
    await until(lambda: not _user_timeout(call.inner[0]))
    network.take_down()
    await until(lambda: _is_shut(call.inner[0]))  # the relay has found out
    assert await call.pod.read_to_end() == (data[:sent], Shutdown.EOF)
    assert await call.over() == TunnelEnd(Side.CLIENT, "timed_out")
    assert call.tally[0] == sent
