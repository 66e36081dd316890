"""What the kernel says of a connection: the same as ss(8), and what really happened to it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from splicer.net.tcpinfo import quality
from splicer.quality import Quality
from tests.relay.harness import Pair, tcp_pair
from tests.relay.loopback import Loopback

_TIMEOUT = 20.0  # seconds


@pytest.fixture
def pair() -> Iterator[Pair]:
    outer, inner = tcp_pair()
    with outer, inner:
        yield outer, inner


def _talk(one: socket.socket, other: socket.socket, frames: int = 50) -> None:
    for sock in (one, other):
        sock.setblocking(True)
    for _ in range(frames):
        one.send(b"f" * 160)
        other.recv(160)
        other.send(b"f" * 160)
        one.recv(160)


def _said_by_ss(sock: socket.socket) -> Quality:
    """ss(8) shows the round-trip time in ms, and the segments sent again if there are any."""
    ports = f"sport = :{sock.getsockname()[1]} and dport = :{sock.getpeername()[1]}"
    text = subprocess.run(["ss", "-Htin", ports], capture_output=True, text=True, check=True).stdout
    rtt = re.search(r"\brtt:([\d.]+)/", text)
    assert rtt is not None
    retransmits = re.search(r"\bretrans:\d+/(\d+)", text)
    return Quality(float(rtt[1]) / 1000, int(retransmits[1]) if retransmits else 0)


@pytest.mark.skipif(shutil.which("ss") is None, reason="there is no ss(8) here")
def test_it_is_what_ss_says(pair: Pair) -> None:
    for sock, other in (pair, pair[::-1]):
        _talk(sock, other)
        time.sleep(0.1)  # late acknowledgements
        told = quality(sock)
        assert told is not None
        assert told.rtt > 0
        said = _said_by_ss(sock)
        assert told.rtt == pytest.approx(said.rtt, abs=1e-6)
        assert told.retransmits == said.retransmits


def test_segments_that_get_lost_are_counted() -> None:
    loopback = Loopback()
    outer, inner = loopback.pair
    with outer, inner:
        _talk(outer, inner)
        before = quality(inner)
        assert before is not None
        assert (before.retransmits, before.rtt < 0.1) == (0, True)
        loopback.take_down()
        inner.send(b"into the void")
        give_up = time.monotonic() + _TIMEOUT
        while (now := quality(inner)) is not None and not now.retransmits:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        assert now is not None
        assert now.rtt == before.rtt, "nothing has come back since"
        peers = quality(outer)
        assert peers is not None
        assert peers.retransmits == 0, "each side counts its own"
    loopback.close()


def test_a_connection_whose_peer_is_gone_still_has_a_past(pair: Pair) -> None:
    _talk(*pair)
    pair[1].close()
    told = quality(pair[0])
    assert told is not None
    assert told.rtt > 0


def test_a_closed_socket_has_none(pair: Pair) -> None:
    pair[0].close()
    assert quality(pair[0]) is None


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_what_is_none_of_tcps_has_none(kind: socket.SocketKind) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    with one, other:
        assert quality(one) is None


def test_udp_has_none() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert quality(sock) is None


def test_a_kernel_that_tells_less_tells_nothing() -> None:
    class Old(socket.socket):
        def getsockopt(self, *_: object) -> bytes:  # type: ignore[override]  # as it is called here
            return bytes(100)

    with Old() as sock:
        assert quality(sock) is None
