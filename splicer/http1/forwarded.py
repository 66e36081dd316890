"""The client's address behind trusted proxies, and the fields for the pod: X-Forwarded-*, X-Real-IP, X-Request-ID."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from splicer.http1.lists import list_members
from splicer.model import Address, Network, RequestHead
from splicer.quick_frozen import quick_frozen

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
# A client's list may be as long as a head, and parsing one address takes microseconds.
_MOST_HOPS = 32
_LONGEST_ADDRESS = 53  # characters: an IPv6 address with an IPv4 one in it, brackets and a port
_SECURE = frozenset({b"https", b"wss"})
_WITH_PORT = re.compile(r"\[([^\]]*+)\](?::[0-9]*+)?|([0-9.]++):[0-9]*+")


@quick_frozen
class Forwarding:
    """The values of the fields that splicer asserts to the pod.

    Args:
        client: the client's numeric address; X-Real-IP.
        forwarded_for: X-Forwarded-For, the peer last.
        proto: "http" or "https": the scheme between the client and the first proxy.
        host: the Host that the client asked for.
        request_id: X-Request-ID.
        believed: the peer is a trusted proxy, so its other X-Forwarded-* fields are passed on.
        certificate: X-Forwarded-Client-Cert; "": there is none.
    """

    client: str
    forwarded_for: str
    proto: str
    host: str
    request_id: str
    believed: bool = False
    certificate: str = ""

    def fields(self) -> dict[bytes, bytes]:
        """The field values by name in lower case, in the order in which a pod gets them."""
        fields = {
            b"x-forwarded-for": self.forwarded_for.encode("latin-1"),
            b"x-forwarded-proto": self.proto.encode("latin-1"),
            b"x-forwarded-host": self.host.encode("latin-1"),
            b"x-real-ip": self.client.encode("latin-1"),
            b"x-request-id": self.request_id.encode("latin-1"),
        }
        if self.certificate:
            fields[b"x-forwarded-client-cert"] = self.certificate.encode("latin-1")
        return fields


# Invariant: only values that a trusted proxy wrote are believed. X-Forwarded-For is read from our peer outwards, up to
# the first address that is not trusted: the host at that address could have written everything to the left of it.
def forwarding(
    head: RequestHead,
    peer: str,
    trusted: Sequence[Network],
    request_id: str,
    *,
    secure: bool = False,
    certificate: str = "",
) -> Forwarding:
    """Decide which client the request comes from.

    Args:
        head: the client's request.
        peer: numeric address of the connection's other end; an IPv4-mapped one is judged as IPv4.
        trusted: networks of the proxies that are believed; at most `_MOST_HOPS` of them are followed.
        request_id: the ID to use unless a trusted proxy gave one.
        certificate: the element of the peer's own certificate; "": there is none to be forwarded.
        secure: whether the peer spoke TLS; a trusted proxy's word for the scheme is above it.
    """
    scheme = "https" if secure else "http"
    address = _parse(peer) if trusted or ":" in peer else None
    if address is not None:
        peer = str(address)
    if address is None or not _within(address, trusted):
        return Forwarding(peer, peer, scheme, head.host, request_id, certificate=certificate)

    came_for = b", ".join(value for value in head.values(b"x-forwarded-for") if value).decode("latin-1").rstrip(", \t")
    protos = frozenset(list_members(head.values(b"x-forwarded-proto")))
    hosts = b", ".join(head.values(b"x-forwarded-host")).decode("latin-1")
    ids = head.values(b"x-request-id")
    return Forwarding(
        client=str(_walk(address, came_for, trusted)),
        forwarded_for=f"{came_for}, {peer}" if came_for else peer,
        proto=("https" if protos <= _SECURE else "http") if protos else scheme,
        host=hosts or head.host,
        request_id=ids[0].decode("ascii") if len(ids) == 1 and _REQUEST_ID.fullmatch(ids[0]) else request_id,
        believed=True,
        certificate=_appended(head, certificate),
    )


def _appended(head: RequestHead, certificate: str) -> str:
    came = [value.decode("latin-1") for value in head.values(b"x-forwarded-client-cert") if value]
    return ", ".join([*came, certificate] if certificate else came)


def is_trusted(peer: str, trusted: Sequence[Network]) -> bool:
    """Whether the peer with this numeric address is a trusted proxy."""
    address = _parse(peer) if trusted else None
    return address is not None and _within(address, trusted)


def _walk(address: Address, came_for: str, trusted: Sequence[Network]) -> Address:
    for entry in reversed(came_for.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
        text = entry.strip(" \t")
        if not text:  # RFC 9110 §5.6.1
            continue
        further = _parse(text)
        if further is None:
            break
        address = further
        if not _within(address, trusted):
            break
    return address


# An address with a scope id (RFC 4007 §11) is refused: the id has a meaning on its own machine only, and is any text.
def _parse(text: str) -> Address | None:
    if len(text) > _LONGEST_ADDRESS or "%" in text:
        return None
    with_port = _WITH_PORT.fullmatch(text)
    if with_port:
        text = with_port[1] or with_port[2] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    for network in networks:  # noqa: SIM110 - a loop: this runs for every request, and any() costs a generator
        if address in network:
            return True
    return False
