"""Request heads, and their parser under the usual limit."""

from __future__ import annotations

from splicer.http1.request import parse_request
from splicer.model import RequestHead

LIMIT = 32768


def parse(raw: bytes | bytearray, limit: int = LIMIT) -> RequestHead:
    return parse_request(raw, limit=limit)[0]


def head(*lines: bytes, start: bytes = b"POST /p HTTP/1.1", host: bytes | None = b"Host: a") -> bytes:
    fields = lines if host is None else (host, *lines)
    return b"\r\n".join([start, *fields, b"", b""])


CL = b"Content-Length: 5"
TE = b"Transfer-Encoding: chunked"
