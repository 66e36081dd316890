"""Reading what is needed of an own X.509 certificate (RFC 5280): names, validity, kind of key.

Python's `ssl` shows a certificate of a peer that was verified, but not one's own.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_OID, _UTC_TIME = 0x06, 0x17
_VERSION_TAG, _EXTENSIONS_TAG = 0xA0, 0xA3
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")  # 2.5.29.17
_DNS, _URI, _IP = 0x82, 0x86, 0x87  # GeneralName, RFC 5280 §4.2.1.6
_KEYS = {
    bytes.fromhex("2a864886f70d010101"): "RSA",
    bytes.fromhex("2a8648ce3d0201"): "ECDSA",
    bytes.fromhex("2b6570"): "Ed25519",
    bytes.fromhex("2b6571"): "Ed448",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate.

    Args:
        names: its subject alternative names, as (kind, value), as `ssl` names the kinds.
        not_before: seconds since the epoch.
        not_after: seconds since the epoch.
        key: "RSA", "ECDSA", "Ed25519", "Ed448" or "other".
        fingerprint: SHA-256 of its DER, in hex.
    """

    names: tuple[tuple[str, str], ...]
    not_before: float
    not_after: float
    key: str
    fingerprint: str


def first_certificate(pem: bytes) -> Certificate:
    """The first certificate of a PEM file: one's own; those of its authorities follow.

    Raises:
        ValueError: there is none.
    """
    found = _CERTIFICATE.search(pem)
    if found is None:
        raise ValueError("has no certificate in PEM")
    try:
        return read(base64.b64decode(found[1]))
    except (IndexError, OverflowError) as error:
        raise ValueError("its first certificate can't be read") from error


def read(der: bytes) -> Certificate:
    """Read a certificate.

    Raises:
        ValueError: these bytes are none.
        IndexError: they are cut off.
    """
    [(_, certificate)] = _values(der)
    _, body = _first(certificate)
    parts = [part for part in _values(body) if part[0] != _VERSION_TAG]
    _, _, _, (_, validity), _, (_, key), *rest = parts
    not_before, not_after = (_time(tag, value) for tag, value in _values(validity))
    _, algorithm = _first(key)
    _, oid = _first(algorithm)
    names = tuple(name for tag, value in rest if tag == _EXTENSIONS_TAG for name in _names(value))
    return Certificate(names, not_before, not_after, _KEYS.get(oid, "other"), hashlib.sha256(der).hexdigest())


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The values that stand one after another, as (tag, content)."""
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        if at + size > len(data):
            raise IndexError("cut off")
        yield tag, data[at : at + size]
        at += size


def _first(data: bytes) -> tuple[int, bytes]:
    return [*_values(data)][0]  # noqa: RUF015 - without any it is an IndexError


def _names(extensions: bytes) -> Iterator[tuple[str, str]]:
    [(_, several)] = _values(extensions)
    for _, extension in _values(several):
        parts = [*_values(extension)]
        if parts[0] != (_OID, _SUBJECT_ALT_NAME):
            continue
        _, content = parts[-1]
        [(_, names)] = _values(content)
        for tag, value in _values(names):
            if tag == _DNS:
                yield "DNS", value.decode("latin-1")
            elif tag == _URI:
                yield "URI", value.decode("latin-1")
            elif tag == _IP:
                yield "IP Address", str(ip_address(value))


# RFC 5280 §4.1.2.5: two digits of a year below 50 are of this century.
def _time(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if text < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
