"""A PROXY header, and which version it is of."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

from splicer.proxyproto.errors import HeaderMissing

Place = tuple[str, int]  # numeric address and port
Tlvs = tuple[tuple[int, bytes], ...]  # type and value of each, in order

V1_BEGINNING = b"PROXY "
V2_BEGINNING = b"\r\n\r\n\x00\r\nQUIT\n"


@frozen
class Header:
    """What a header says.

    Args:
        source: the client; None: the connection is its peer's own (LOCAL, UNKNOWN).
        destination: where the client connected to.
        tlvs: what version 2 has behind the addresses.
    """

    source: Place | None = None
    destination: Place | None = None
    tlvs: Tlvs = ()


def version(data: bytes) -> int | None:
    """The version of the header that begins with these bytes; None: they are too few to tell.

    Raises:
        HeaderMissing: they begin no header.
    """
    for number, beginning in ((2, V2_BEGINNING), (1, V1_BEGINNING)):
        if data.startswith(beginning):
            return number
        if beginning.startswith(data):
            return None
    raise HeaderMissing(f"it begins with {data[:16]!r}")


def numeric(address: IPv4Address | IPv6Address) -> str:
    """The text of an address; an IPv4 address that is mapped into IPv6 is one of IPv4 (RFC 4291 §2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def of_one_family(source: Place, destination: Place) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    """Both addresses, or both as IPv6 addresses if they are of different families."""
    one, other = ip_address(source[0]), ip_address(destination[0])
    return (one, other) if one.version == other.version else (as_ipv6(one), as_ipv6(other))


def as_ipv6(address: IPv4Address | IPv6Address) -> IPv6Address:
    """An address as one of IPv6: an IPv4 address is mapped (RFC 4291 §2.5.5.2)."""
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")
