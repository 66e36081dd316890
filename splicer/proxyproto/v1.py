"""Version 1: one line of text."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from splicer.proxyproto.errors import HeaderMalformed, HeaderTooLong
from splicer.proxyproto.header import V1_BEGINNING, Header, Place, numeric

LONGEST = 107  # bytes, with the end of the line (section 2.1)
_PORT = rb"(0|[1-9][0-9]{0,4})"
_LINE = re.compile(
    rb"TCP(?:4 ([0-9.]+) ([0-9.]+)|6 ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+)) " + _PORT + rb" " + _PORT,
)
_UNKNOWN = re.compile(rb"UNKNOWN(?: [^\r\n]*)?")  # what follows it is to be ignored


def decode(data: bytes) -> tuple[Header, int] | None:
    """The header at the start of bytes that begin with `V1_BEGINNING`, and its size; None: it is not complete yet.

    Raises:
        HeaderMalformed: it is not as the specification has it.
        HeaderTooLong: no line ends within `LONGEST` bytes.
    """
    end = data.find(b"\r\n", 0, LONGEST)
    if end < 0:
        if len(data) >= LONGEST:
            raise HeaderTooLong(f"no line ends within {LONGEST} bytes: {data[:LONGEST]!r}")
        return None
    line = data[len(V1_BEGINNING) : end]
    if _UNKNOWN.fullmatch(line):
        return Header(), end + 2
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise HeaderMalformed(f"version 1: {data[:end]!r}")
    try:
        places = _places(parts)
    except ValueError as error:
        raise HeaderMalformed(f"version 1: {data[:end]!r}: {error}") from None
    return Header(*places), end + 2


def _places(parts: re.Match[bytes]) -> tuple[Place, Place]:
    four = parts[1] is not None
    cls: type[IPv4Address | IPv6Address] = IPv4Address if four else IPv6Address
    texts = (parts[1], parts[2]) if four else (parts[3], parts[4])
    source, destination = (numeric(cls(text.decode("ascii"))) for text in texts)
    ports = int(parts[5]), int(parts[6])
    if max(ports) > 65535:
        raise ValueError("a port is above 65535")
    return (source, ports[0]), (destination, ports[1])


def encode(source: Place | None, destination: Place | None) -> bytes:
    """A header; without both places, or with those of two families, one of an unknown client."""
    if source is None or destination is None:
        return b"PROXY UNKNOWN\r\n"
    one, other = ip_address(source[0]), ip_address(destination[0])
    if one.version != other.version:
        return b"PROXY UNKNOWN\r\n"
    return f"PROXY TCP{one.version} {one} {other} {source[1]} {destination[1]}\r\n".encode()
