"""What the TLVs of a header say of a connection, for the log and for the scheme of its requests."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping

from splicer.arrival import Arrival
from splicer.proxyproto.errors import HeaderMalformed
from splicer.proxyproto.header import Header, Tlvs
from splicer.proxyproto.v2 import read_tlvs

AUTHORITY, UNIQUE_ID, SSL = 0x02, 0x05, 0x20
SSL_VERSION, SSL_CN, SSL_CIPHER = 0x21, 0x22, 0x23
_LONGEST_ID = 128  # bytes (section 2.2.5)
_LONGEST_TEXT = 255  # characters of a fact
_SSL_FIXED = struct.Struct("!BI")  # client's bits, and 0 if its certificate was verified
_OVER_TLS, _CERTIFICATE = 0x01, 0x06  # bits: by TLS; with a certificate, on this connection or its session


def _aws(value: bytes) -> str | None:
    parts = re.fullmatch(rb"\x01([A-Za-z0-9-]{1,128})", value)
    return parts[1].decode("ascii") if parts else None


def _gcp(value: bytes) -> str | None:
    return str(int.from_bytes(value, "big")) if len(value) == 8 else None


def _azure(value: bytes) -> str | None:
    return str(int.from_bytes(value[1:], "little")) if len(value) == 5 and value[0] == 1 else None


# The types 0xE0 to 0xEF are anybody's (section 2.2.8), so they are read only as those of the vendor that the file
# names: AWS's id of a VPC endpoint, GCP's of a Private Service Connect connection, Azure's of a Private Link.
VENDORS: Mapping[str, tuple[int, Callable[[bytes], str | None]]] = {
    "aws": (0xEA, _aws),
    "gcp": (0xE0, _gcp),
    "azure": (0xEE, _azure),
}


def arrival(header: Header, via: str, vendor: str | None = None) -> Arrival | None:
    """How a connection came, by its header; None if it is its peer's own.

    Args:
        header: the header.
        via: the peer's numeric address.
        vendor: one of `VENDORS`.

    Raises:
        HeaderMalformed: a TLV that is read breaks the specification.
    """
    if header.source is None:
        return None
    said = dict(reversed(header.tlvs))  # of several of one type, the first
    secure, tls = _tls(said.get(SSL), said.get(AUTHORITY))
    facts = (*_id(said.get(UNIQUE_ID)), *_vendor(vendor, header.tlvs), *tls)
    return Arrival(via, header.source[1], secure, facts)


def _id(value: bytes | None) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if len(value) > _LONGEST_ID:
        raise HeaderMalformed(f"a unique id of {len(value)} bytes")
    text = value.decode("latin-1")
    yield "proxy_id", text if text.isascii() and text.isprintable() else value.hex()


# The vendor's own sub-types that are not known here are skipped, like every type that is not known.
def _vendor(vendor: str | None, tlvs: Tlvs) -> Iterator[tuple[str, str]]:
    if vendor is None:
        return
    kind, read = VENDORS[vendor]
    for value in (value for each, value in tlvs if each == kind):
        if text := read(value):
            yield "proxy_vendor", text
            return


# A name that nobody has verified is anybody's, so the client's is told only with a verified certificate.
def _tls(value: bytes | None, authority: bytes | None) -> tuple[bool, tuple[tuple[str, str], ...]]:
    if value is None:
        return False, ()
    if len(value) < _SSL_FIXED.size:
        raise HeaderMalformed(f"TLV 0x20 of {len(value)} bytes")
    client, unverified = _SSL_FIXED.unpack_from(value)
    said = dict(reversed(read_tlvs(value, _SSL_FIXED.size)))
    if not client & _OVER_TLS:
        return False, ()
    named = said.get(SSL_CN) if client & _CERTIFICATE and not unverified else None
    texts = {
        "tls_version": said.get(SSL_VERSION),
        "tls_cipher": said.get(SSL_CIPHER),
        "tls_sni": authority,
        "tls_client": named,
    }
    return True, tuple((field, _text(value)) for field, value in texts.items() if value)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")[:_LONGEST_TEXT]
