"""HTTP messages as the far sides see them, read by the letter and by nobody's library."""

from __future__ import annotations

from attrs import frozen
from trio.testing import wait_all_tasks_blocked

from tests.session.wire import Peer

Fields = list[tuple[str, str]]


@frozen
class Message:
    """A request or an answer.

    `line`: its first. `ended`: what said that the body was over: "none", "length", "chunks" or "close".
    """

    line: str
    fields: Fields
    body: bytes = b""
    trailers: Fields = []  # noqa: RUF008  # frozen, and nobody appends
    ended: str = "none"

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    def get(self, name: str) -> str | None:
        """A field's only value, or None."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} comes {len(values)} times"
        return values[0] if values else None


async def read_head(peer: Peer) -> Message:
    raw = (await peer.until(b"\r\n\r\n")).decode("latin-1")
    line, *lines = raw[:-4].split("\r\n")
    return Message(line, [_field(text) for text in lines])


async def read_request(peer: Peer) -> Message:
    head = await read_head(peer)
    return await _with_body(peer, head, until_close=False)


async def read_answer(peer: Peer, method: str = "GET") -> Message:
    """The answer to a request with that method, once everybody has done what there was to do for it."""
    message = await read_head(peer)
    if not (method == "HEAD" or message.status < 200 or message.status in (204, 304)):
        message = await _with_body(peer, message, until_close=True)
    await wait_all_tasks_blocked()
    return message


async def _with_body(peer: Peer, head: Message, *, until_close: bool) -> Message:
    if (head.get("transfer-encoding") or "").lower() == "chunked":
        body = b""
        while size := int((await peer.until(b"\r\n"))[:-2], 16):
            body += await peer.exactly(size)
            assert await peer.exactly(2) == b"\r\n"
        trailers: Fields = []
        while line := (await peer.until(b"\r\n"))[:-2]:
            trailers.append(_field(line.decode("latin-1")))
        return Message(head.line, head.fields, body, trailers, "chunks")
    length = head.get("content-length")
    if length is not None:
        return Message(head.line, head.fields, await peer.exactly(int(length)), [], "length")
    if until_close:
        return Message(head.line, head.fields, await peer.rest(), [], "close")
    return head


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(": ")
    assert colon, line
    return name, value


GET = b"GET /x HTTP/1.1\r\nHost: edge.test\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: edge.test\r\nContent-Length: 4\r\n\r\nbody"
PUT = POST.replace(b"POST", b"PUT")
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: edge.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def answer(body: bytes = b"ok", status: str = "200 OK", *fields: str) -> bytes:
    """An answer with a length."""
    head = "\r\n".join((f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""))
    return head.encode("latin-1") + body


OK = answer()
