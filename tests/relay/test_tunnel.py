from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import Side
from splicer.relay import pipes as pipes_module
from splicer.relay.pipes import PipePool
from splicer.relay.tunnel import READ, WRITE, Leg, ResumeState, Tunnel, TunnelEnd, TunnelLimits, load, resume
from tests.relay.harness import pipe_of, tcp_pair, unix_pair
from tests.relay.registry import FakeVault

SECONDS = st.floats(min_value=0, max_value=1e6)
NOW = 1000.0
KEY = 0xABC0


@pytest.fixture
def legs() -> Iterator[tuple[Leg, Leg]]:
    one, other = unix_pair()
    with one, other:
        client, pod = Leg(one, Side.CLIENT), Leg(other, Side.POD)
        Tunnel(client, pod, TunnelLimits(1.0, 1.0, 1.0), NOW, KEY)
        yield client, pod


@pytest.mark.parametrize(
    ("eof", "parked", "peer_parked", "wanted"),
    [
        (False, 0, 0, READ),
        (False, 0, 9, READ | WRITE),
        (False, 9, 0, 0),
        (False, 9, 9, WRITE),
        (True, 0, 0, 0),
        (True, 0, 9, WRITE),
    ],
)
def test_events_worth_waiting_for(legs: tuple[Leg, Leg], eof: bool, parked: int, peer_parked: int, wanted: int) -> None:
    leg, peer = legs
    leg.eof, leg.parked, peer.parked = eof, parked, peer_parked
    assert leg.wanted() == wanted


def test_the_two_legs_know_each_other(legs: tuple[Leg, Leg]) -> None:
    client, pod = legs
    assert (client.peer, pod.peer) == (pod, client)
    assert client.tunnel is pod.tunnel
    assert (client.tunnel.client, client.tunnel.pod) == (client, pod)


def _tunnel(idle: float, half_closed: float, lifetime: float) -> Tunnel:
    one, other = unix_pair()
    with one, other:
        return Tunnel(Leg(one, Side.CLIENT), Leg(other, Side.POD), TunnelLimits(idle, half_closed, lifetime), NOW)


@given(SECONDS, SECONDS, SECONDS, st.booleans(), SECONDS, SECONDS)
def test_a_tunnel_is_overdue_from_when_it_is_due(
    idle: float, half_closed: float, lifetime: float, half: bool, moved: float, now: float
) -> None:
    tunnel = _tunnel(idle, half_closed, lifetime)
    tunnel.closer = Side.POD if half else None
    tunnel.last = NOW + moved
    assert (tunnel.overdue(NOW + now) is not None) == (NOW + now >= tunnel.due())


@pytest.mark.parametrize(
    ("closer", "now", "reason"),
    [
        (None, 9.9, None),
        (None, 10.0, "idle"),
        (None, 25.0, "lifetime"),
        (Side.CLIENT, 4.9, None),
        (Side.CLIENT, 5.0, "half_closed"),
        (Side.CLIENT, 20.0, "lifetime"),
    ],
)
def test_which_deadline_it_was(closer: Side | None, now: float, reason: str | None) -> None:
    tunnel = _tunnel(idle=10.0, half_closed=5.0, lifetime=20.0)
    tunnel.closer = closer
    assert tunnel.overdue(NOW + now) == (reason and TunnelEnd(Side.PROXY, reason))


def test_never_is_never_due() -> None:
    tunnel = _tunnel(math.inf, math.inf, math.inf)
    assert tunnel.due() == math.inf
    assert tunnel.overdue(1e300) is None


def test_nothing_to_load_takes_no_pipe(legs: tuple[Leg, Leg]) -> None:
    pool = PipePool()
    load(pool, legs[0], b"")
    assert (legs[0].pipe, legs[0].parked, pool.in_use) == (None, 0, 0)


@pytest.mark.parametrize("direction", [0, 1])
def test_loaded_bytes_are_parked_and_the_journal_says_whose_they_are(legs: tuple[Leg, Leg], direction: int) -> None:
    vault = FakeVault()
    pool = PipePool(vault)
    leg = legs[direction]
    load(pool, leg, b"early")
    assert leg.pipe is not None
    assert leg.parked == 5
    assert vault.words[leg.pipe.place] == KEY | direction
    assert os.read(leg.pipe.read_fd, 100) == b"early"
    pool.discard(leg.pipe)


# The leg then owns a dirty pipe: whoever gives up on the tunnel must find it there, to close it.
def test_bytes_that_do_not_fit_are_an_error_and_the_leg_keeps_the_dirty_pipe(
    legs: tuple[Leg, Leg], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipes_module, "Pipe", lambda: pipe_of(4096))
    pool = PipePool()
    with pytest.raises(OSError, match="a pipe took 4096 of 4097 early bytes"):
        load(pool, legs[0], bytes(4097))
    assert legs[0].pipe is not None
    assert legs[0].parked == 4096
    pool.discard(legs[0].pipe)


def _left(data: bytes) -> int:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, data)
    os.close(write_fd)
    return read_fd


def test_a_tunnel_is_taken_up_where_it_was(legs: tuple[Leg, Leg]) -> None:
    client, pod = legs
    tunnel, pool = client.tunnel, PipePool()
    resume(pool, tunnel, ResumeState((_left(b"left"), _left(b"")), to_pod=100, to_client=2000, silent=0.5, age=0.75))
    assert (client.total, pod.total) == (100, 2000)
    assert (tunnel.last, tunnel.expires) == (NOW - 0.5, NOW + 1.0 - 0.75)
    assert client.pipe is not None
    assert (client.parked, pod.parked, pod.pipe, pool.in_use) == (4, 0, None, 1)
    assert (client.broken, pod.broken, tunnel.closer) == (None, None, None)
    pool.give_back(client.pipe)
    assert (pool.in_use, pool.idle) == (0, 0), "nobody can write into it: it is of no more use"


def test_a_tunnel_without_a_past_begins_anew(legs: tuple[Leg, Leg]) -> None:
    tunnel, pool = legs[0].tunnel, PipePool()
    resume(pool, tunnel, ResumeState())
    assert (tunnel.client.total, tunnel.pod.total, tunnel.last, tunnel.expires) == (0, 0, NOW, NOW + 1.0)
    assert (tunnel.client.parked, tunnel.pod.parked, pool.in_use) == (0, 0, 0)


@pytest.mark.parametrize("side", [Side.CLIENT, Side.POD])
def test_whose_connection_was_reset_is_remembered(legs: tuple[Leg, Leg], side: Side) -> None:
    resume(PipePool(), legs[0].tunnel, ResumeState(broken=side))
    assert [leg.broken for leg in legs if leg.side is side] == ["reset"]
    assert [leg.broken for leg in legs if leg.side is not side] == [None]


# The dead worker's vigil may have lifted the option, and what it was nobody else knows.
def test_the_vigils_patience_goes_on_with_a_socket_whose_user_timeout_was_lifted() -> None:
    pairs = tcp_pair(), tcp_pair()
    (_, lifted), (_, other) = pairs
    lifted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
    client, pod = Leg(lifted, Side.CLIENT), Leg(other, Side.POD)
    resume(PipePool(), Tunnel(client, pod, TunnelLimits(1.0, 1.0, 1.0), NOW), ResumeState(patience=60_000))
    assert (client.patience, pod.patience) == (60_000, 0)
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()
