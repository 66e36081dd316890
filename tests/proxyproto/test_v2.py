from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.proxyproto.decode import MOST, decode
from splicer.proxyproto.errors import (
    HeaderChecksum,
    HeaderMalformed,
    HeaderMissing,
    HeaderTooLong,
    ProxyProtocolError,
)
from splicer.proxyproto.header import V2_BEGINNING, Header, Place, Tlvs
from splicer.proxyproto.v2 import CRC32C, LONGEST, encode
from tests.kit.laws import examples
from tests.proxyproto.strategies import pairs, tlvs, with_checksum

_FOUR = encode(("192.0.2.7", 56324), ("10.0.0.1", 443))


def _header(command: int = 0x21, family: int = 0x11, rest: bytes = _FOUR[16:], length: int | None = None) -> bytes:
    return V2_BEGINNING + struct.pack("!BBH", command, family, len(rest) if length is None else length) + rest


@settings(max_examples=examples(50))
@given(pair=pairs(), tlvs=tlvs, rest=st.binary(max_size=30))
def test_what_is_written_is_read(pair: tuple[Place, Place], tlvs: Tlvs, rest: bytes) -> None:
    data = encode(*pair, tlvs)
    assert decode(data + rest) == (Header(*pair, tlvs), len(data))


@settings(max_examples=examples(50))
@given(pair=pairs(), tlvs=tlvs, rest=st.binary(max_size=30))
def test_a_checksum_of_the_whole_header_is_accepted(pair: tuple[Place, Place], tlvs: Tlvs, rest: bytes) -> None:
    data = with_checksum(*pair, tlvs)
    found = decode(data + rest)
    assert found is not None
    assert (found[0].source, found[1]) == (pair[0], len(data))


@settings(max_examples=examples(50))
@given(pair=pairs(), tlvs=tlvs, data=st.data())
def test_with_a_checksum_no_changed_bit_passes(pair: tuple[Place, Place], tlvs: Tlvs, data: st.DataObject) -> None:
    whole = bytearray(with_checksum(*pair, tlvs))
    place = data.draw(st.integers(16, len(whole) - 8))  # neither the fixed part nor the checksum's own TLV
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode(bytes(whole))
    except ProxyProtocolError:
        return
    # What was changed may be the length of a TLV, which then swallows the checksum.
    assert found is not None
    assert all(kind != CRC32C for kind, _ in found[0].tlvs)


@settings(max_examples=examples(50))
@given(pair=pairs(), tlvs=tlvs, data=st.data())
def test_any_part_of_a_header_waits_for_more(pair: tuple[Place, Place], tlvs: Tlvs, data: st.DataObject) -> None:
    whole = encode(*pair, tlvs)
    assert decode(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None


@settings(max_examples=examples(50))
@given(start=st.sampled_from([b"", V2_BEGINNING, V2_BEGINNING + b"\x21\x11\x00\x20"]), rest=st.binary(max_size=80))
def test_any_bytes_are_a_header_or_an_error_or_too_few(start: bytes, rest: bytes) -> None:
    try:
        found = decode(start + rest)
    except ProxyProtocolError:
        return
    assert found is None or 0 < found[1] <= len(start + rest)


def test_local_and_unspecified_keep_the_peers_address() -> None:
    assert decode(encode(None, None)) == (Header(), 16)
    assert decode(_header(0x20, 0x11, b"x" * 99)) == (Header(), 115)
    assert decode(_header(0x21, 0x00, b"x" * 7)) == (Header(), 23)


@pytest.mark.parametrize(
    "data",
    [
        _header(0x11),  # version 1
        _header(0x31),
        _header(0x22),  # an unknown command
        _header(0x21, 0x12),  # UDP
        _header(0x21, 0x22),
        _header(0x21, 0x31, bytes(216)),  # unix
        _header(0x21, 0x01),
        _header(0x21, 0x41),
        _header(rest=_FOUR[16:27]),  # no room for the addresses
        _header(0x21, 0x21, bytes(35)),
        _header(rest=_FOUR[16:] + b"\x05"),  # a TLV without a length
        _header(rest=_FOUR[16:] + b"\x05\x00\x02x"),  # longer than the header
        _header(rest=_FOUR[16:] + b"\x03\x00\x02xx"),  # a checksum of two bytes
        _header(rest=_FOUR[16:] + b"\x03\x00\x04xxxx" * 2),
    ],
)
def test_malformed_headers(data: bytes) -> None:
    with pytest.raises(HeaderMalformed):
        decode(data)


# What is wrong is told at once, not after `length` more bytes.
def test_the_fixed_part_alone_shows_what_is_refused() -> None:
    assert decode(_header(rest=b"", length=LONGEST)) is None
    with pytest.raises(HeaderTooLong):
        decode(_header(rest=b"", length=LONGEST + 1))
    with pytest.raises(HeaderMalformed):
        decode(_header(0x2F, rest=b"", length=100))
    whole = _header(rest=_FOUR[16:] + b"\xee\x1f\xf1" + bytes(LONGEST - 15))
    assert len(whole) == MOST
    assert decode(whole) is not None


def test_a_wrong_checksum_and_a_filler() -> None:
    right = with_checksum(("192.0.2.7", 1), ("10.0.0.1", 2), ())
    with pytest.raises(HeaderChecksum):
        decode(right[:-1] + bytes([right[-1] ^ 1]))
    assert decode(_header(rest=_FOUR[16:] + b"\x04\x00\x03abc")) == (
        Header(("192.0.2.7", 56324), ("10.0.0.1", 443)),
        34,
    )


def test_families_are_mixed_as_ipv6_and_a_mapped_address_is_ipv4() -> None:
    found = decode(encode(("192.0.2.7", 1), ("2001:db8::1", 2)))
    assert found is not None
    assert found[0] == Header(("192.0.2.7", 1), ("2001:db8::1", 2))
    assert found[1] == 16 + 36


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"PROXX ", b"\r\n\r\nGET", b"proxy ", b"\x16\x03\x01", b"\0"])
def test_what_begins_no_header(data: bytes) -> None:
    with pytest.raises(HeaderMissing):
        decode(data)
