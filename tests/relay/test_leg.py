from __future__ import annotations

import math
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import Side
from splicer.relay.leg import READ, WRITE, Leg, Tunnel, TunnelEnd, TunnelLimits, load
from splicer.relay.pipes import Pipe
from tests.relay.harness import pipe_of, unix_pair

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


def test_nothing_to_load_takes_no_pipe(legs: tuple[Leg, Leg]) -> None:
    load(lambda: pytest.fail("a pipe was taken"), legs[0], b"")
    assert (legs[0].pipe, legs[0].parked) == (None, 0)


def test_loaded_bytes_are_parked(legs: tuple[Leg, Leg]) -> None:
    load(Pipe, legs[0], b"early")
    pipe = legs[0].pipe
    assert pipe is not None
    assert legs[0].parked == 5
    assert os.read(pipe.read_fd, 100) == b"early"
    pipe.close()


# The leg then owns a dirty pipe: whoever gives up on the tunnel must find it there, to close it.
def test_bytes_that_do_not_fit_are_an_error_and_the_leg_keeps_the_dirty_pipe(legs: tuple[Leg, Leg]) -> None:
    small = pipe_of(4096)
    with pytest.raises(OSError, match=f"a pipe took {small.size} of {small.size + 1} early bytes"):
        load(lambda: small, legs[0], bytes(small.size + 1))
    assert (legs[0].pipe, legs[0].parked) == (small, small.size)
    small.close()
