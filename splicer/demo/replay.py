"""Passing a connection to another reader together with the request that was already read from it."""

from __future__ import annotations

import h11
import trio


def replayed(head: h11.Request, stream: trio.SocketStream) -> trio.abc.Stream:
    """A stream that yields a WebSocket handshake again, and then the rest of the connection.

    No bytes after the handshake have been read: a client waits for the answer (RFC 6455 §4.1).

    Args:
        head: the handshake.
        stream: the connection.
    """
    lines = [b"%b %b HTTP/1.1" % (head.method, head.target)]
    lines += [b"%b: %b" % (name, value) for name, value in head.headers.raw_items()]
    return trio.StapledStream(stream, _Replay(b"\r\n".join(lines) + b"\r\n\r\n", stream))


class _Replay(trio.abc.ReceiveStream):
    def __init__(self, first: bytes, stream: trio.SocketStream) -> None:
        self._first = first
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._first:
            return await self._stream.receive_some(max_bytes)
        await trio.lowlevel.checkpoint()
        data, self._first = self._first[:max_bytes], self._first[max_bytes or len(self._first) :]
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()
