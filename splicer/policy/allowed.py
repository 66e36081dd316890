"""The addresses that may be dialled (design §5): an address in a DNS answer need not be a pod's."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from splicer.model import Address, Network

# Addresses that hand out a machine's credentials or settings, from the clouds' documentation. IPv4 addresses within
# 169.254.0.0/16 (AWS, Google, Azure, Oracle, DigitalOcean, OpenStack; ECS 169.254.170.2; EKS 169.254.170.23) are
# link-local and refused as such.
METADATA: frozenset[Address] = frozenset(
    ip_address(text)
    for text in (
        "100.100.100.200",  # Alibaba
        "fd00:100::100:200",  # Alibaba, IPv6
        "168.63.129.16",  # Azure's WireServer
        "192.0.0.192",  # Oracle Cloud at Customer
        "fd00:c1::a9fe:a9fe",  # Oracle, IPv6
        "fd00:ec2::254",  # AWS, IPv6
        "fd00:ec2::23",  # AWS EKS Pod Identity, IPv6
        "fd20:ce::254",  # Google, IPv6
        "fd00:42::42",  # Scaleway, IPv6
        "fd00:a9fe:a9fe::1",  # Akamai, IPv6
    )
)

LOCALHOST = ("127.0.0.1", "::1")

_NEVER_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # "this host on this network"; Linux connects 0.0.0.0 to loopback (RFC 1122 §3.2.1.3)
        "169.254.0.0/16",  # link-local (RFC 3927)
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved (RFC 1112 §4), and the limited broadcast
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1


@lru_cache(maxsize=4096)
def allowed(address: str, allow: tuple[Network, ...] | None) -> bool:
    """Whether a pod may be dialled at an address.

    Link-local, metadata, unspecified, multicast, broadcast and reserved addresses: never, whatever `allow` says.
    Loopback: only within `allow`. Anything else: within `allow`, or without an `allow` any.

    An IPv6 address that contains an IPv4 address is judged as that IPv4 address, against `allow` too, if a TCP
    connection would reach that IPv4 host: IPv4-mapped (the kernel itself uses IPv4) and NAT64 (a gateway does). 6to4
    and Teredo addresses name an IPv4 host only as the end of a tunnel for IPv6 packets: no service of that host is
    reached, and they are judged as IPv6 addresses.

    Args:
        address: numeric; anything else, or an address with a scope ("%eth0"), is refused.
        allow: the upstream's networks, or None.
    """
    try:
        literal = ip_address(address)
    except ValueError:
        return False
    judged = _unwrap(literal)
    if "%" in address or _never(judged):
        return False
    if allow is None:
        return not judged.is_loopback
    return any(judged in network for network in allow)


def own_network(address: str) -> Network | None:
    """The network that contains only this numeric address; None if the address may never be dialled."""
    judged = _unwrap(ip_address(address))
    return None if _never(judged) else ip_network(judged)


def is_localhost(name: str) -> bool:
    """Whether a name means `LOCALHOST` and must not be sent to name servers (RFC 6761 §6.3)."""
    return name == "localhost" or name.endswith(".localhost")


def _unwrap(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(address.packed[-4:])
    return address


# IPv6's reserved space contains ::1, and the deprecated ::a.b.c.d (RFC 4291 §2.5.5.1).
def _never(address: Address) -> bool:
    if address in METADATA:
        return True
    if isinstance(address, IPv4Address):
        return any(address in network for network in _NEVER_V4)
    if address.is_loopback:
        return False
    return address.is_link_local or address.is_multicast or address.is_reserved
