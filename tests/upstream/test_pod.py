"""The pod's leg by itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from splicer.errors import PodClosed, SplicerError
from splicer.http1.body import EndOfBody
from splicer.http1.request import parse_request
from splicer.http1.response import ResponseParser
from splicer.model import Endpoint
from splicer.tls_errors import TlsLost, TlsRefused
from splicer.upstream.pod import PodLeg
from tests.session.wire import Peer, connection

_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"


_ASK = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def _leg(*, reused: bool = False) -> tuple[PodLeg, Peer]:
    ours, theirs = connection(1 << 16)
    head, _ = parse_request(_ASK, limit=1000)
    parser = ResponseParser(head, 1000, protocol="websocket")
    return PodLeg(ours, Endpoint("any", "192.0.2.7", 8000), parser, reused=reused), Peer(theirs)


async def test_no_more_follows_a_101_than_the_smallest_pipe_holds() -> None:
    leg, peer = _leg()
    await peer.send(_SWITCH + bytes(50_000))
    assert (await leg.read_head()).status == 101
    assert 0 < len(leg.parser.trailing) < 8192 - len(_SWITCH)


async def test_a_body_is_read_in_larger_pieces() -> None:
    leg, peer = _leg()
    await peer.send(_PLAIN + bytes(60_000))
    assert (await leg.read_head()).status == 200
    reads = 0
    left = 60_000
    while left:
        data = leg.parser.next_body()
        assert not isinstance(data, EndOfBody)
        if data:
            left -= len(data)
        else:
            reads += 1
            await leg.read_more()
    assert reads <= 3


@pytest.mark.parametrize(
    ("end", "reused", "error"),
    [
        ("eof", False, PodClosed),
        ("tls_refused", False, TlsRefused),
        ("tls_lost", False, TlsLost),
        ("tls_lost", True, PodClosed),  # an idle one: another connection may do
    ],
)
async def test_why_a_connection_by_tls_has_ended(end: str, reused: bool, error: type[SplicerError]) -> None:
    leg, peer = _leg(reused=reused)
    leg.stream.tls = SimpleNamespace(end=end)  # type: ignore[misc]
    peer.end.close()
    with pytest.raises(error) as found:
        await leg.read_head()
    assert type(found.value) is error
