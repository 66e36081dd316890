"""Looking at a client's first TLS message, without taking a byte of it."""

from __future__ import annotations

import socket

import trio

from splicer.client_hello import MOST, Hello, read_hello
from splicer.errors import ClientGone
from splicer.net.stream import ByteStream

_PAUSE = 0.02  # seconds before the next look, if the kernel wakes us for fewer bytes than were asked for


async def peek_hello(stream: ByteStream) -> Hello:
    """Wait for a client's whole ClientHello, and leave it in the socket.

    Bytes that stay in the socket would wake a wait for more at once, so the kernel is told how many are needed
    (SO_RCVLOWAT, socket(7)); the end of the stream wakes it all the same.

    Raises:
        NotTls: something else has come.
        MalformedHello: it can't be read.
        ClientGone: the client closed before it was complete.
    """
    sock, needed = stream.sock, 1
    try:
        while True:
            seen = _look(sock)
            if seen is not None and len(seen) >= needed:
                found = read_hello(seen)
                if isinstance(found, Hello):
                    return found
                needed = found
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, needed)
            elif seen is not None:
                if not seen or stream.is_gone():
                    raise ClientGone("closed before its first TLS message was complete")
                await trio.sleep(_PAUSE)
            await stream.wait_readable()
    finally:
        if needed > 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def _look(sock: socket.socket) -> bytes | None:
    try:
        return sock.recv(MOST, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    except OSError as error:
        raise ClientGone(error.strerror or "reset") from error
