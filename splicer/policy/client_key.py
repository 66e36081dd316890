"""What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, of which a host may use every address."""

from __future__ import annotations

from ipaddress import IPv6Address

_PREFIX_BYTES = 8  # RFC 4291 §2.5.1: the interface identifier is the other half


def client_key(address: str) -> str | bytes:
    """A key for the client at a numeric address.

    Args:
        address: an IPv4-mapped one counts as IPv4.
    """
    if ":" not in address:
        return address
    whole = IPv6Address(address)
    return whole.packed[:_PREFIX_BYTES] if whole.ipv4_mapped is None else str(whole.ipv4_mapped)
