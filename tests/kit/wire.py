"""One end of a TCP connection for test clients and pods, byte by byte and independent of splicer's parsers."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from tests.kit.http import Message, read_chunk, read_chunks, read_request, read_response

TIMEOUT = 30.0  # seconds after which something that should happen is said not to
_POLL_INTERVAL = 0.005  # seconds between two looks
_LINGER_0 = struct.pack("ii", 1, 0)

T = TypeVar("T")


async def until(look: Callable[[], T]) -> T:
    """Poll `look` until it returns a true value, and return that."""
    with trio.move_on_after(TIMEOUT):
        while not (seen := look()):  # noqa: ASYNC110 - what other processes do sets no event
            await trio.sleep(_POLL_INTERVAL)
        return seen
    raise AssertionError(f"still {seen!r}")


class EndOfStream(Exception):
    """The other side closed in the middle of a message."""


class Wire:
    """A connection with a read buffer; every operation fails after `TIMEOUT`."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.buffer = bytearray()

    async def send(self, data: bytes) -> None:
        with trio.fail_after(TIMEOUT):
            await self.stream.send_all(data)

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def until(self, end: bytes) -> bytes:
        """Read up to and including `end`."""
        while (found := self.buffer.find(end)) < 0:
            await self._more()
        return self._take(found + len(end))

    async def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self._more()
        return self._take(count)

    async def some(self) -> bytes:
        """Read what has come, at least one byte; b"" at the end of the stream."""
        if not self.buffer:
            try:
                await self._more()
            except EndOfStream:
                return b""
        return self._take(len(self.buffer))

    async def rest(self) -> bytes:
        """Read up to the end of the stream. A reset raises `trio.BrokenResourceError`."""
        data = b""
        while more := await self.some():
            data += more
        return data

    async def end(self) -> str:
        """Read and drop everything; return how the connection ends: "eof" or "reset"."""
        try:
            await self.rest()
        except trio.BrokenResourceError:
            return "reset"
        return "eof"

    async def head(self) -> bytes:
        return await self.until(b"\r\n\r\n")

    async def request(self) -> Message:
        """Read a whole request."""
        return await read_request(self)

    async def reply(self, method: str = "GET") -> Message:
        """Read a whole response to a request with this method."""
        return await read_response(self, method)

    async def chunk(self) -> bytes:
        """Read the next chunk; b"" is the last one, before the trailers."""
        return await read_chunk(self)

    async def chunks(self) -> tuple[bytes, bytes]:
        """Read a chunked body; return it with the raw trailers."""
        return await read_chunks(self)

    def reset(self) -> None:
        """Close with an RST."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self.stream.socket.close()

    async def close(self) -> None:
        await self.stream.aclose()

    async def _more(self) -> None:
        with trio.fail_after(TIMEOUT):
            data = await self.stream.receive_some(65536)
        if not data:
            raise EndOfStream(bytes(self.buffer))
        self.buffer += data

    def _take(self, count: int) -> bytes:
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data


@asynccontextmanager
async def dial(address: tuple[str, int], source: str = "127.0.0.1", window: int | None = None) -> AsyncIterator[Wire]:
    """Connect as a client, from a source address, with `window` bytes of receive buffer."""
    sock = trio.socket.socket()
    if window:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    stream = trio.SocketStream(sock)
    async with stream:
        with trio.fail_after(TIMEOUT):
            await sock.bind((source, 0))
            await sock.connect(address)
        yield Wire(stream)


def request(method: str, target: str, *fields: str, host: str = "edge.test", body: bytes = b"") -> bytes:
    """The bytes of a request; a body gets its Content-Length."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def ask(
    address: tuple[str, int],
    method: str,
    target: str,
    *fields: str,
    host: str = "edge.test",
    body: bytes = b"",
    source: str = "127.0.0.1",
) -> Message:
    """Send one request on a connection of its own, and return the answer."""
    async with dial(address, source) as wire:
        await wire.send(request(method, target, *fields, host=host, body=body))
        return await wire.reply(method)


async def ask_until(address: tuple[str, int], target: str, done: Callable[[Message], bool]) -> Message:
    """Send a request again and again until `done` accepts the answer."""
    with trio.fail_after(TIMEOUT):
        while not done(reply := await ask(address, "GET", target)):  # noqa: ASYNC110 - see `until`
            await trio.sleep(10 * _POLL_INTERVAL)
    return reply
