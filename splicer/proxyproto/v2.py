"""Version 2: binary, with addresses and TLVs."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

from splicer.proxyproto.crc32c import crc32c
from splicer.proxyproto.errors import HeaderChecksum, HeaderMalformed, HeaderTooLong
from splicer.proxyproto.header import V2_BEGINNING, Header, Place, Tlvs, numeric, of_one_family

LONGEST = 8192  # bytes behind the fixed part; the length field could say 65535
CRC32C = 0x03
_NOOP = 0x04
_FIXED = struct.Struct("!12sBBH")  # beginning, version and command, family and protocol, length of the rest
_TLV = struct.Struct("!BH")  # type, length
_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_ADDRESSES = {_TCP4: struct.Struct("!4s4sHH"), _TCP6: struct.Struct("!16s16sHH")}


def decode(data: bytes) -> tuple[Header, int] | None:
    """The header at the start of bytes that begin with `V2_BEGINNING`, and its size; None: it is not complete yet.

    Raises:
        HeaderMalformed: it is not as the specification has it, or not of TCP.
        HeaderChecksum: it has a checksum, which is wrong.
        HeaderTooLong: it is longer than `LONGEST`.
    """
    if len(data) < _FIXED.size:
        return None
    _, version_and_command, family, length = _FIXED.unpack_from(data)
    version, command = version_and_command >> 4, version_and_command & 0xF
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise HeaderMalformed(f"version {version}, command {command}")
    if command == _PROXY and family not in (_UNSPECIFIED, _TCP4, _TCP6):
        raise HeaderMalformed(f"family and protocol {family:#04x} are not TCP over IP")
    if length > LONGEST:
        raise HeaderTooLong(f"{length} bytes")
    size = _FIXED.size + length
    if len(data) < size:
        return None
    if command == _LOCAL or family == _UNSPECIFIED:
        return Header(), size
    return _proxied(data[:size], family), size


def _proxied(data: bytes, family: int) -> Header:
    layout = _ADDRESSES[family]
    start = _FIXED.size + layout.size
    if len(data) < start:
        raise HeaderMalformed(f"{len(data) - _FIXED.size} bytes have no room for the addresses")
    source, destination, source_port, destination_port = layout.unpack_from(data, _FIXED.size)
    tlvs = read_tlvs(data, start)
    if any(kind == CRC32C for kind, _ in tlvs):
        _check(data, start)
    return Header((_text(source), source_port), (_text(destination), destination_port), tlvs)


# An object for an IPv4 address takes longer than all the rest.
def _text(address: bytes) -> str:
    return ".".join(map(str, address)) if len(address) == 4 else numeric(IPv6Address(address))


def read_tlvs(data: bytes, start: int) -> Tlvs:
    """All TLVs from a place to the end of the data, without those that only fill.

    Raises:
        HeaderMalformed: the last one is longer than the data.
    """
    tlvs, place = [], start
    while place < len(data):
        if place + _TLV.size > len(data):
            raise HeaderMalformed("a TLV breaks off")
        kind, length = _TLV.unpack_from(data, place)
        place += _TLV.size
        if place + length > len(data):
            raise HeaderMalformed(f"TLV {kind:#04x} of {length} bytes is longer than the header")
        if kind != _NOOP:
            tlvs.append((kind, data[place : place + length]))
        place += length
    return tuple(tlvs)


# The checksum is that of the whole header with zeros in its place (section 2.2.3).
def _check(data: bytes, place: int) -> None:
    found: int | None = None
    while place < len(data):
        kind, length = _TLV.unpack_from(data, place)
        place += _TLV.size
        if kind == CRC32C:
            if length != 4 or found is not None:
                raise HeaderMalformed("a checksum of another size than 4 bytes, or two of them")
            found = place
        place += length
    assert found is not None  # noqa: S101 - the caller has seen one
    said, blank = data[found : found + 4], data[:found] + bytes(4) + data[found + 4 :]
    if int.from_bytes(said, "big") != crc32c(blank):
        raise HeaderChecksum(f"it says {said.hex()}")


def encode(source: Place | None, destination: Place | None, tlvs: Tlvs = ()) -> bytes:
    """A header; without both places it is LOCAL: the connection is the sender's own.

    Args:
        source: the client.
        destination: where the client connected to; both become IPv6 addresses if only one is.
        tlvs: type and value of each.
    """
    if source is None or destination is None:
        return _FIXED.pack(V2_BEGINNING, 0x20, _UNSPECIFIED, 0)
    one, other = of_one_family(source, destination)
    family = _TCP4 if one.version == 4 else _TCP6
    layout = _ADDRESSES[family]
    rest = layout.pack(one.packed, other.packed, source[1], destination[1]) + write_tlvs(tlvs)
    return _FIXED.pack(V2_BEGINNING, 0x21, family, len(rest)) + rest


def write_tlvs(tlvs: Tlvs) -> bytes:
    """The inverse of `read_tlvs`."""
    return b"".join(_TLV.pack(kind, len(value)) + value for kind, value in tlvs)
