"""What there is before a tunnel moves: early bytes, and what another worker left."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from splicer.errors import Side
from splicer.relay import stock as stock_module
from splicer.relay.api import ResumeState, TunnelLimits
from splicer.relay.beginning import load, resume
from splicer.relay.tunnel import Leg, Tunnel
from tests.relay.harness import pipe_of, pipe_with, tcp_pair, unix_pair
from tests.relay.movers import MakeStock
from tests.relay.registry import FakeVault

NOW = 1000.0
KEY = 0xABC0


@pytest.fixture
def legs() -> Iterator[tuple[Leg, Leg]]:
    one, other = unix_pair()
    with one, other:
        client, pod = Leg(one, Side.CLIENT), Leg(other, Side.POD)
        Tunnel(client, pod, TunnelLimits(1.0, 1.0, 1.0), NOW, KEY)
        yield client, pod


async def test_nothing_to_load_takes_no_pipe(make_stock: MakeStock, legs: tuple[Leg, Leg]) -> None:
    stock = make_stock()
    await load(stock, legs[0], b"")
    assert (legs[0].pipe, legs[0].parked, stock.in_use) == (None, 0, 0)


@pytest.mark.parametrize("direction", [0, 1])
async def test_loaded_bytes_are_parked_and_the_journal_says_whose_they_are(
    make_stock: MakeStock, legs: tuple[Leg, Leg], direction: int
) -> None:
    vault = FakeVault()
    stock = make_stock(vault)
    leg = legs[direction]
    await load(stock, leg, b"early")
    assert leg.pipe is not None
    assert leg.parked == 5
    assert vault.words[leg.pipe.place] == KEY | direction
    assert os.read(leg.pipe.read_fd, 100) == b"early"
    stock.discard(leg.pipe)


# The leg then owns a dirty pipe: whoever gives up on the tunnel must find it there, to close it.
async def test_bytes_that_do_not_fit_are_an_error_and_the_leg_keeps_the_dirty_pipe(
    make_stock: MakeStock, legs: tuple[Leg, Leg], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_module, "Pipe", lambda: pipe_of(4096))
    stock = make_stock()
    with pytest.raises(OSError, match="a pipe took 4096 of 4097 early bytes"):
        await load(stock, legs[0], bytes(4097))
    assert legs[0].pipe is not None
    assert legs[0].parked == 4096
    stock.discard(legs[0].pipe)


def test_a_tunnel_is_taken_up_where_it_was(make_stock: MakeStock, legs: tuple[Leg, Leg]) -> None:
    client, pod = legs
    tunnel, stock = client.tunnel, make_stock()
    resume(
        stock,
        tunnel,
        ResumeState((pipe_with(b"left"), pipe_with(b"")), to_pod=100, to_client=2000, silent=0.5, age=0.75),
    )
    assert (client.total, pod.total) == (100, 2000)
    assert (tunnel.last, tunnel.expires) == (NOW - 0.5, NOW + 1.0 - 0.75)
    assert client.pipe is not None
    assert (client.parked, pod.parked, pod.pipe, stock.in_use) == (4, 0, None, 1)
    assert (client.broken, pod.broken, tunnel.closer) == (None, None, None)
    stock.discard(client.pipe)
    assert (stock.in_use, stock.idle) == (0, 0)


def test_a_tunnel_without_a_past_begins_anew(make_stock: MakeStock, legs: tuple[Leg, Leg]) -> None:
    tunnel, stock = legs[0].tunnel, make_stock()
    resume(stock, tunnel, ResumeState())
    assert (tunnel.client.total, tunnel.pod.total, tunnel.last, tunnel.expires) == (0, 0, NOW, NOW + 1.0)
    assert (tunnel.client.parked, tunnel.pod.parked, stock.in_use) == (0, 0, 0)


@pytest.mark.parametrize("side", [Side.CLIENT, Side.POD])
def test_whose_connection_was_reset_is_remembered(make_stock: MakeStock, legs: tuple[Leg, Leg], side: Side) -> None:
    resume(make_stock(), legs[0].tunnel, ResumeState(broken=side))
    assert [leg.broken for leg in legs if leg.side is side] == ["reset"]
    assert [leg.broken for leg in legs if leg.side is not side] == [None]


# The dead worker may have lifted the option, and what it was nobody else knows.
def test_a_socket_whose_user_timeout_was_lifted_gets_it_back_from_the_next_worker(make_stock: MakeStock) -> None:
    pairs = tcp_pair(), tcp_pair()
    (_, lifted), (_, other) = pairs
    lifted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
    client, pod = Leg(lifted, Side.CLIENT), Leg(other, Side.POD)
    resume(make_stock(), Tunnel(client, pod, TunnelLimits(1.0, 1.0, 1.0), NOW), ResumeState(patience=60_000))
    assert (client.patience, pod.patience) == (60_000, 0)
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()
