"""A client's first TLS message, for the name that it asks for (RFC 8446 §4.1.2, RFC 6066 §3).

Nothing else of it is judged: whoever ends the TLS does that.
"""

from __future__ import annotations

from attrs import frozen

from splicer.hello_errors import MalformedHello, NotTls

MOST = 16 * 1024  # bytes that are looked at, with the headers of records
MOST_RECORDS = 32  # over which a hello may be spread
_LONGEST_RECORD = 1 << 14  # RFC 8446 §5.1
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_HEADER, _MESSAGE_HEADER = 5, 4  # bytes: of a record, of a message
_SERVER_NAME, _HOST_NAME = 0, 0  # the extension, and the only type of a name


@frozen
class Hello:
    """A ClientHello; `name` is what it asks for, in lower case, None if it asks for none."""

    name: str | None


def read_hello(data: bytes) -> Hello | int:
    """The ClientHello at the start of some bytes, or the number of bytes that are needed at least to go on.

    The time is linear in the number of bytes, which need not be more than `MOST`.

    Raises:
        NotTls: they begin no handshake.
        MalformedHello: it is none that can be read.
    """
    message, place = b"", 0
    for _ in range(MOST_RECORDS):
        header = data[place : place + _HEADER]
        if header[:1] not in (b"", b"\x16") or header[1:2] not in (b"", b"\x03"):
            raise NotTls(f"it begins with {data[:8]!r}")
        if len(header) < _HEADER:
            return _needed(place + _HEADER)
        length = int.from_bytes(header[3:], "big")
        if not 0 < length <= _LONGEST_RECORD:
            raise MalformedHello(f"a record of {length} bytes")
        place += _HEADER
        message += data[place : place + length]
        if (hello := _complete(message)) is not None:
            return hello
        place += length
        if len(data) < place:
            return _needed(place)
    raise MalformedHello(f"over more than {MOST_RECORDS} records")


# Also when only a part of a record has come: what is said too long is refused at once.
def _complete(message: bytes) -> Hello | None:
    if message and message[0] != _CLIENT_HELLO:
        raise NotTls(f"a handshake that begins with message {message[0]}")
    if len(message) < _MESSAGE_HEADER:
        return None
    end = _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER], "big")
    if end > MOST:
        raise MalformedHello(f"{end} bytes")
    return Hello(_name(message[_MESSAGE_HEADER:end])) if len(message) >= end else None


def _needed(count: int) -> int:
    if count > MOST:
        raise MalformedHello(f"more than {MOST} bytes")
    return count


class _Fields:
    """Reads what a length precedes."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    def take(self, count: int) -> bytes:
        if len(self.left) < count:
            raise MalformedHello("a field is longer than what it is in")
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def vector(self, width: int) -> bytes:
        """A vector whose length has so many bytes."""
        return self.take(int.from_bytes(self.take(width), "big"))


def _name(hello: bytes) -> str | None:
    fields = _Fields(hello)
    fields.take(2 + 32)  # version, random
    for width in (1, 2, 1):  # session id, cipher suites, compression methods
        fields.vector(width)
    if not fields.left:
        return None
    extensions = fields.vector(2)
    if fields.left:
        raise MalformedHello("bytes behind the extensions")
    place = 0
    while place < len(extensions):
        kind, length = (int.from_bytes(extensions[at : at + 2], "big") for at in (place, place + 2))
        place += 4
        if place + length > len(extensions):
            raise MalformedHello("an extension is longer than all of them")
        if kind == _SERVER_NAME:
            return _host(extensions[place : place + length])
        place += length
    return None


def _host(extension: bytes) -> str:
    names = _Fields(_Fields(extension).vector(2))
    kind, name = names.take(1)[0], names.vector(2)
    if kind != _HOST_NAME or not 0 < len(name) <= 253 or not name.isascii() or not name.decode("ascii").isprintable():
        raise MalformedHello(f"a server name of type {kind}: {name[:64]!r}")
    return name.decode("ascii").lower()
