"""The headers that this edge sends to pods."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address

from splicer.arrival import Arrival
from splicer.proxyproto import v1, v2
from splicer.proxyproto.facts import AUTHORITY, SSL, SSL_CIPHER, SSL_CN, SSL_VERSION, UNIQUE_ID
from splicer.proxyproto.header import Place, numeric
from splicer.proxyproto.v2 import write_tlvs

_OVER_TLS, _WITH_CERTIFICATE = 0x01, 0x07  # bits of the TLV for TLS (section 2.2.6)


def local_header(version: str) -> bytes:
    """The header of a connection that is the edge's own, such as a health check's: LOCAL, or UNKNOWN in version 1.

    Args:
        version: "v1" or "v2".
    """
    return v1.encode(None, None) if version == "v1" else v2.encode(None, None)


def client_header(
    version: str, source: Place, destination: Place, request_id: str, arrival: Arrival | None = None
) -> bytes:
    """The header of a client's connection.

    Args:
        version: "v1" or "v2".
        source: the client.
        destination: where the client's connection was accepted.
        request_id: the id of its request.
        arrival: how the client's connection came: version 2 says what is known of its TLS.
    """
    try:
        source, destination = _plain(source), _plain(destination)
    except ValueError:  # one of them is not known
        return local_header(version)
    if version == "v1":
        return v1.encode(source, destination)
    return v2.encode(source, destination, tuple(_tlvs(request_id, arrival)))


def _plain(place: Place) -> Place:
    return numeric(ip_address(place[0])), place[1]


def _tlvs(request_id: str, arrival: Arrival | None) -> Iterator[tuple[int, bytes]]:
    if arrival is not None and arrival.secure:
        if (name := arrival.fact("tls_sni")) is not None:
            yield AUTHORITY, name.encode()
        named = arrival.fact("tls_client")
        facts = ((SSL_VERSION, arrival.fact("tls_version")), (SSL_CN, named), (SSL_CIPHER, arrival.fact("tls_cipher")))
        bits = _OVER_TLS if named is None else _WITH_CERTIFICATE
        told = tuple((kind, value.encode()) for kind, value in facts if value is not None)
        yield SSL, struct.pack("!BI", bits, named is None) + write_tlvs(told)
    yield UNIQUE_ID, request_id.encode("latin-1")
