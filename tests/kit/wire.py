"""One end of a TCP connection, spoken byte by byte: for clients and for pods, and independent of splicer's parsers."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
from attrs import frozen

TIMEOUT = 15.0  # seconds after which something that should happen is said not to
_POLL_INTERVAL = 0.005  # seconds between two looks
_LINGER_0 = struct.pack("ii", 1, 0)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)

Fields = list[tuple[bytes, bytes]]
T = TypeVar("T")


async def until(look: Callable[[], T]) -> T:
    """Look again and again until there is something to see."""
    with trio.move_on_after(TIMEOUT):
        while not (seen := look()):  # noqa: ASYNC110 - what other processes do sets no event
            await trio.sleep(_POLL_INTERVAL)
        return seen
    raise AssertionError(f"still {seen!r}")


class EndOfStream(Exception):
    """The other side closed in the middle of something."""


def fields_of(head: bytes) -> Fields:
    """The field lines of a raw head, as they came."""
    pairs = [line.partition(b":") for line in head.split(b"\r\n")[1:] if line]
    return [(name, value.strip()) for name, _, value in pairs]


def values_of(head: bytes, name: str) -> list[bytes]:
    """All values of a field, in order."""
    return [value for key, value in fields_of(head) if key.lower() == name.lower().encode()]


@frozen
class Message:
    """A request or a response as it came."""

    head: bytes
    body: bytes = b""
    trailers: bytes = b""

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    @property
    def status(self) -> int:
        return int(self.line.split(b" ")[1])

    @property
    def fields(self) -> Fields:
        return fields_of(self.head)

    def values(self, name: str) -> list[bytes]:
        return values_of(self.head, name)


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
        """Up to and with `end`."""
        while (found := self.buffer.find(end)) < 0:
            await self._more()
        return self._take(found + len(end))

    async def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self._more()
        return self._take(count)

    async def some(self) -> bytes:
        """What is there, at least one byte; b"" at the end of the stream."""
        if not self.buffer:
            try:
                await self._more()
            except EndOfStream:
                return b""
        return self._take(len(self.buffer))

    async def rest(self) -> bytes:
        """All up to the end of the stream. A reset raises `trio.BrokenResourceError`."""
        data = b""
        while more := await self.some():
            data += more
        return data

    async def end(self) -> str:
        """How the connection ends, whatever comes before: "eof" or "reset"."""
        try:
            await self.rest()
        except trio.BrokenResourceError:
            return "reset"
        return "eof"

    async def head(self) -> bytes:
        return await self.until(b"\r\n\r\n")

    async def request(self) -> Message:
        """A whole request."""
        head = await self.head()
        if _CHUNKED.search(head):
            return Message(head, *await self.chunks())
        length = _LENGTH.search(head)
        return Message(head, await self.exactly(int(length[1])) if length else b"")

    async def reply(self, method: str = "GET") -> Message:
        """A whole response: one that a request with this method gets."""
        head = await self.head()
        status = int(head.split(b" ")[1])
        if method == "HEAD" or status in (204, 304) or status < 200:
            return Message(head)
        if _CHUNKED.search(head):
            return Message(head, *await self.chunks())
        length = _LENGTH.search(head)
        return Message(head, await self.exactly(int(length[1])) if length else await self.rest())

    async def chunk(self) -> bytes:
        """The next chunk; b"" is the last one, before the trailers."""
        size = int((await self.until(b"\r\n")).split(b";")[0], 16)
        data = await self.exactly(size)
        if size:
            assert await self.exactly(2) == b"\r\n"
        return data

    async def chunks(self) -> tuple[bytes, bytes]:
        """A chunked body, and the raw trailers."""
        body = b""
        while data := await self.chunk():
            body += data
        trailers = b""
        while (line := await self.until(b"\r\n")) != b"\r\n":
            trailers += line
        return body, trailers

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
    """A client's connection, from a source address; `window` bytes of receive buffer."""
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
    """A whole request; a body gets its Content-Length."""
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
    """One request on a connection of its own, and its answer."""
    async with dial(address, source) as wire:
        await wire.send(request(method, target, *fields, host=host, body=body))
        return await wire.reply(method)


async def ask_until(address: tuple[str, int], target: str, done: Callable[[Message], bool]) -> Message:
    """Ask again and again until the answer is the one."""
    with trio.fail_after(TIMEOUT):
        while not done(reply := await ask(address, "GET", target)):  # noqa: ASYNC110 - see `until`
            await trio.sleep(10 * _POLL_INTERVAL)
    return reply
