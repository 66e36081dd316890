"""One DNS query to a name server and its response, over UDP or TCP."""

from __future__ import annotations

import trio

from splicer.net.dns_wire import Query, Response, read_response

_MAX_BYTES = 65535  # size of the largest DNS message


async def over_udp(server: tuple[str, int], query: Query) -> Response:
    """Ask over UDP and wait for the answer until cancelled; malformed or unrelated packets are ignored.

    Raises:
        OSError: the server can't be reached.
    """
    with trio.socket.socket(_family(server), trio.socket.SOCK_DGRAM) as sock:
        await sock.connect(server)  # from here on the kernel drops packets from other addresses
        await sock.send(query.wire)
        while True:
            try:
                response = read_response(await sock.recv(_MAX_BYTES), query)
            except (ValueError, ConnectionRefusedError):  # an ICMP message refuses, and anybody can forge one
                continue
            if response is not None:
                return response


async def over_tcp(server: tuple[str, int], query: Query) -> Response:
    """Ask over TCP (RFC 7766 §8).

    Raises:
        OSError: the server can't be reached.
        trio.BrokenResourceError: the connection broke.
        ValueError: the response is malformed, or does not answer this query.
        EOFError: the server closed the connection before the response was complete.
    """
    with trio.socket.socket(_family(server), trio.socket.SOCK_STREAM) as sock:
        await sock.connect(server)
        stream = trio.SocketStream(sock)
        await stream.send_all(len(query.wire).to_bytes(2, "big") + query.wire)
        size = int.from_bytes(await _exactly(stream, 2), "big")
        response = read_response(await _exactly(stream, size), query)
    if response is None:
        raise ValueError("an answer to something else")
    return response


async def _exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        received = await stream.receive_some(size - len(data))
        if not received:
            raise EOFError("closed before its answer was whole")
        data += received
    return bytes(data)


def _family(server: tuple[str, int]) -> int:
    return trio.socket.AF_INET6 if ":" in server[0] else trio.socket.AF_INET
