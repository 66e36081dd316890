"""TLS hellos: real ones of Python's ssl, and made ones."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress


def real_hello(name: str | None, *, alpn: Iterable[str] = ()) -> bytes:
    """What a client of OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def made_hello(*extensions: tuple[int, bytes], rest: bytes = b"") -> bytes:
    """A ClientHello message with these extensions, without the header of a record."""
    body = b"".join(kind.to_bytes(2, "big") + _vector(2, data) for kind, data in extensions)
    hello = b"\x03\x03" + bytes(32) + _vector(1, b"") + _vector(2, b"\x13\x01") + _vector(1, b"\0") + _vector(2, body)
    hello += rest
    return b"\x01" + _vector(3, hello)


def server_name(name: bytes, kind: int = 0) -> tuple[int, bytes]:
    """The extension with a name."""
    return 0, _vector(2, bytes([kind]) + _vector(2, name))


def in_records(message: bytes, *sizes: int) -> bytes:
    """A message in records of these sizes, and the rest of it in one more."""
    records, place = [], 0
    for size in (*sizes, len(message)):
        part = message[place : place + size]
        if part:
            records.append(b"\x16\x03\x01" + _vector(2, part))
        place += size
    return b"".join(records)


def _vector(width: int, data: bytes) -> bytes:
    return len(data).to_bytes(width, "big") + data
