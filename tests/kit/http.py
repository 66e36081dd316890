"""Reading HTTP/1.1 messages for test clients and pods: strictly, and without any library."""

from __future__ import annotations

from typing import Protocol

from attrs import evolve, frozen


class Reader(Protocol):
    """A source of bytes; the end of the stream is an error, except for `rest`."""

    async def until(self, end: bytes) -> bytes:
        """Read up to and including `end`."""

    async def exactly(self, count: int) -> bytes:
        """Read exactly this many bytes."""

    async def rest(self) -> bytes:
        """Read up to the end of the stream."""


@frozen
class Message:
    """A request or a response as received.

    Args:
        head: up to and with its empty line.
        body: without the marks of chunks.
        trailers: their lines.
        ended: what said that the body was over: "none", "length", "chunks" or "close".
    """

    head: bytes
    body: bytes = b""
    trailers: bytes = b""
    ended: str = "none"

    @property
    def line(self) -> str:
        """The first line."""
        return self.head.partition(b"\r\n")[0].decode("latin-1")

    @property
    def target(self) -> bytes:
        return self.head.split(b" ")[1]

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1])

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The fields, in order."""
        pairs = [line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:] if line]
        return [(name, value.strip()) for name, _, value in pairs]

    def values(self, name: str) -> list[bytes]:
        """All values of a field, in order."""
        return [value.encode("latin-1") for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """A field's only value, or None."""
        values = self.values(name)
        assert len(values) < 2, f"{name} comes {len(values)} times"
        return values[0].decode("latin-1") if values else None


async def read_head(reader: Reader) -> Message:
    """Read a message without its body."""
    return Message(await reader.until(b"\r\n\r\n"))


async def read_request(reader: Reader) -> Message:
    """Read a whole request."""
    return await _with_body(reader, await read_head(reader), until_close=False)


async def read_response(reader: Reader, method: str = "GET") -> Message:
    """Read a whole response to a request with this method."""
    head = await read_head(reader)
    if method == "HEAD" or head.status < 200 or head.status in (204, 304):
        return head
    return await _with_body(reader, head, until_close=True)


async def read_chunk(reader: Reader) -> bytes:
    """Read the next chunk; b"" is the last one, before the trailers."""
    size = int((await reader.until(b"\r\n")).split(b";")[0], 16)
    data = await reader.exactly(size)
    if size:
        assert await reader.exactly(2) == b"\r\n"
    return data


async def read_chunks(reader: Reader) -> tuple[bytes, bytes]:
    """Read a chunked body; return it with the raw trailers."""
    body = b""
    while data := await read_chunk(reader):
        body += data
    trailers = b""
    while (line := await reader.until(b"\r\n")) != b"\r\n":
        trailers += line
    return body, trailers


async def _with_body(reader: Reader, head: Message, *, until_close: bool) -> Message:
    if (head.get("Transfer-Encoding") or "").lower() == "chunked":
        body, trailers = await read_chunks(reader)
        return evolve(head, body=body, trailers=trailers, ended="chunks")
    length = head.get("Content-Length")
    if length is not None:
        return evolve(head, body=await reader.exactly(int(length)), ended="length")
    if until_close:
        return evolve(head, body=await reader.rest(), ended="close")
    return head
