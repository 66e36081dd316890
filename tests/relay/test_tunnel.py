from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import Side
from splicer.relay.api import TunnelEnd, TunnelLimits
from splicer.relay.tunnel import READ, WRITE, Leg, Tunnel
from tests.relay.harness import unix_pair

SECONDS = st.floats(min_value=0, max_value=1e6)
NOW = 1000.0


@pytest.fixture
def legs() -> Iterator[tuple[Leg, Leg]]:
    one, other = unix_pair()
    with one, other:
        client, pod = Leg(one, Side.CLIENT), Leg(other, Side.POD)
        Tunnel(client, pod, TunnelLimits(1.0, 1.0, 1.0), NOW)
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


def test_it_shows_no_byte_of_the_101_and_no_time_below_nothing(legs: tuple[Leg, Leg]) -> None:
    client, pod = legs
    tunnel = client.tunnel
    client.total, pod.total = 5, -129
    assert (tunnel.to_pod, tunnel.to_client, tunnel.sockets) == (5, 0, (client.sock, pod.sock))
    pod.total = 7
    assert tunnel.to_client == 7
    assert (tunnel.idle(NOW + 2.5), tunnel.idle(NOW - 0.001)) == (2.5, 0.0)  # it may have moved within this very turn
    assert tunnel.alive
    tunnel.result = TunnelEnd(Side.POD, "eof")
    assert not tunnel.alive
