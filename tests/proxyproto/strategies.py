"""What headers may say."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

from hypothesis import strategies as st

from splicer.proxyproto.crc32c import crc32c
from splicer.proxyproto.header import Place, Tlvs
from splicer.proxyproto.v2 import CRC32C, encode

ports = st.integers(0, 65535)


def _is_plain(address: Any) -> bool:
    return not isinstance(address, IPv6Address) or address.ipv4_mapped is None


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Place, Place]:
    """Two places of one family."""
    addresses = st.ip_addresses(v=4) if draw(st.booleans()) else st.ip_addresses(v=6)
    source, destination = (draw(addresses.filter(_is_plain)) for _ in range(2))
    return (str(source), draw(ports)), (str(destination), draw(ports))


kinds = st.integers(0, 255).filter(lambda kind: kind not in (CRC32C, 0x04))
tlvs: st.SearchStrategy[Tlvs] = st.lists(st.tuples(kinds, st.binary(max_size=40)), max_size=5).map(tuple)


def with_checksum(source: Place, destination: Place, tlvs: Tlvs) -> bytes:
    """A header of version 2 whose last TLV is its checksum, as HAProxy's `crc32c` writes it."""
    blank = encode(source, destination, (*tlvs, (CRC32C, bytes(4))))
    return blank[:-4] + crc32c(blank).to_bytes(4, "big")
