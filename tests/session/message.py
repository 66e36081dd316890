"""Messages of the session's tests, and answers in virtual time."""

from __future__ import annotations

from trio.testing import wait_all_tasks_blocked

from tests.kit.http import Message, read_response
from tests.session.wire import Peer


async def read_answer(peer: Peer, method: str = "GET") -> Message:
    """The answer to a request with that method, once everybody has done what there was to do for it."""
    message = await read_response(peer, method)
    await wait_all_tasks_blocked()
    return message


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


def get(path: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: edge.test", *fields, "", "")).encode()


def request(method: str = "GET", *fields: str, version: str = "1.1", body: bytes = b"") -> bytes:
    head = "\r\n".join((f"{method} /x HTTP/{version}", "Host: edge.test", *fields, "", ""))
    return head.encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunks(data: bytes, trailers: bytes = b"") -> bytes:
    """In pieces of many sizes."""
    out, size = b"", 1
    while data:
        out += chunk(data[:size])
        data, size = data[size:], size * 3
    return out + b"0\r\n" + trailers + b"\r\n"
