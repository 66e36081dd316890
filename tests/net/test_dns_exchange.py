"""One exchange with a name server, over TCP; over UDP, see test_dnsquery."""

from __future__ import annotations

import struct
from functools import partial

import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
import trio

from splicer.net.dns_exchange import over_tcp
from splicer.net.dns_names import RdataType
from splicer.net.dns_wire import Query, Response, make_query

POD = dns.name.from_text("pod-0.example.")
QUERY = make_query(POD.to_wire() or b"", RdataType.A, None)


def framed(*, other: bool = False) -> bytes:
    answer = dns.message.make_response(dns.message.from_wire(QUERY.wire))
    answer.id ^= other
    answer.answer.append(dns.rrset.from_text(POD, 30, "IN", "A", "127.0.0.10"))
    wire = answer.to_wire()
    return struct.pack("!H", len(wire)) + wire


async def exchange(nursery: trio.Nursery, *pieces: bytes) -> tuple[Response, bytes]:
    """Ask a server that sends these pieces and closes: what is understood, and what it was asked."""
    heard = bytearray()

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            while len(heard) < 2 + len(QUERY.wire):
                heard.extend(await stream.receive_some())
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(0.01)

    listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    host, port = listeners[0].socket.getsockname()
    with trio.fail_after(10):
        return await over_tcp((host, port), QUERY), bytes(heard)


async def test_an_answer_may_come_in_pieces(nursery: trio.Nursery) -> None:
    whole = framed()
    response, heard = await exchange(nursery, whole[:1], whole[1:5], whole[5:])
    assert response == Response(dns.rcode.NOERROR, False, ("127.0.0.10",), 30)
    assert heard == struct.pack("!H", len(QUERY.wire)) + QUERY.wire


@pytest.mark.parametrize("cut", [0, 1, 2, 20])
async def test_a_server_may_close_too_early(nursery: trio.Nursery, cut: int) -> None:
    with pytest.raises(EOFError):
        await exchange(nursery, framed()[:cut])


async def test_an_answer_to_something_else_is_none(nursery: trio.Nursery) -> None:
    with pytest.raises(ValueError, match="something else"):
        await exchange(nursery, framed(other=True))


async def test_where_nobody_listens() -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused"):
            await over_tcp(taken.getsockname(), Query(b"", b"", RdataType.A))
