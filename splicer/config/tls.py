"""``[tls.NAME]``: certificates, and the rules for clients that come by TLS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from splicer.config import kinds
from splicer.config.certificates import CERTIFICATE, PATH
from splicer.config.keys import key, shared
from splicer.config.reader import Fault, Reader
from splicer.config.scalars import BadValue, name, show, text
from splicer.ipc.tls_messages import ServerProfile
from splicer.tls_facts import CertificateFiles

_MOST_CERTIFICATES = 64  # of a profile: its facts go into one message
MOST_PROFILES = 64


def peer_name(value: object) -> str:
    """A name that a peer's certificate must have."""
    word = text(value)
    if "://" not in word and not all(label for label in word.removesuffix(".").split(".")):
        raise BadValue(f"{show(word)} is no name")
    if "*" in word.removeprefix("*."):
        raise BadValue(f'{show(word)}: "*" stands for one label, the first; write for example "*.partner.example"')
    return word


def _certificates(value: object) -> tuple[CertificateFiles, ...]:
    several = kinds.list_of(CERTIFICATE, "certificates", empty="no client could be answered").parse(
        value if isinstance(value, list) else [value]
    )
    if len(several) > _MOST_CERTIFICATES:
        raise BadValue(f"has {len(several)} certificates, and at most {_MOST_CERTIFICATES} may stand there")
    return several


_LIST = kinds.list_of(CERTIFICATE, "certificates", empty="no client could be answered")
_CERTIFICATES: kinds.Kind[tuple[CertificateFiles, ...]] = kinds.Kind(
    _certificates,
    _LIST.format,
    kinds.any_of(CERTIFICATE.schema, _LIST.schema),
    "folder with `tls.crt` and `tls.key`, or a table with `chain` and `key`, or a list of them",
)
MIN_VERSION = kinds.choice("1.2", "1.3")
PEER_NAMES = kinds.list_of(
    kinds.text(peer_name, "name"), "DNS names, IP addresses or URIs", empty="nobody could come; leave the key out"
)


@frozen
class TlsProfile:
    """One table. Files are read again when they change."""

    certificates: tuple[CertificateFiles, ...] = key(
        _CERTIFICATES,
        "Our certificates: the client's server name decides between them, and of several for one name its kind of key.",
    )
    unknown_name: Literal["refuse", "first"] = key(
        kinds.choice("refuse", "first"),
        "What a client gets that asks for no name, or for one that no certificate has: an alert, or the first one.",
        default="refuse",
    )
    min_version: str = key(MIN_VERSION, "The oldest version of TLS.", default="1.2")
    ciphers: str = key(
        kinds.TEXT,
        "The cipher suites of TLS 1.2: `\"intermediate\"` is Mozilla's list of that name (5.8), or write OpenSSL's "
        "notation. Those of TLS 1.3 are OpenSSL's.",
        default="intermediate",
    )
    session_tickets: bool = key(kinds.BOOLEAN, "Whether a client that comes back may resume its session.", default=True)
    client_certificate: Literal["off", "request", "require"] = key(
        kinds.choice("off", "request", "require"),
        "Whether a client is asked for a certificate, or must have one. One that is shown must be valid.",
        default="off",
    )
    client_ca: str | None = key(PATH, "The authorities of clients' certificates, in PEM.", default=None)
    client_crl: str | None = key(PATH, "Their revocation lists, in PEM.", default=None, beside=("client_ca",))
    client_names: tuple[str, ...] = key(
        PEER_NAMES,
        "Of these, a client's certificate must have one: a DNS name (`*.partner.example` is any one label), an IP "
        "address, or a URI such as `spiffe://partner.example/ns/voice/sa/caller`.",
        default=(),
        absent="any",
        beside=("client_ca",),
    )
    forward_certificate: Literal["off", "summary", "full"] = key(
        kinds.choice("off", "summary", "full"),
        "What a pod learns of a verified client certificate, in `X-Forwarded-Client-Cert`: nothing, its hash and "
        "names, or also the certificate itself.",
        default="off",
    )


TLS = Reader(TlsProfile)


def server_profile(profile: TlsProfile) -> ServerProfile:
    """The profile as the tls processes get it."""
    return ServerProfile(**shared(profile, TlsProfile))


def read_profile(title: str, table: object) -> tuple[TlsProfile | None, tuple[Fault, ...]]:
    """One table, or None, and its faults."""
    reading = TLS.read(table)
    faults = list(reading.faults)
    try:
        name(title)
    except BadValue as fault:
        faults.insert(0, Fault((), str(fault)))
    if reading.value is not None:
        faults += _contradictions(reading.value, reading.broken)
    return (None if faults else reading.value), tuple(faults)


def _contradictions(profile: TlsProfile, broken: frozenset[str]) -> Iterator[Fault]:
    asks = profile.client_certificate != "off"
    if asks and profile.client_ca is None and "client_ca" not in broken:
        yield Fault(("client_certificate",), "needs client_ca, with the authorities of clients' certificates")
    if asks or "client_certificate" in broken:
        return
    for unused in ("client_ca", "client_crl", "client_names"):
        if getattr(profile, unused):
            yield Fault((unused,), 'does nothing while client_certificate is "off"; write "request" or "require"')
    if profile.forward_certificate != "off":
        yield Fault(("forward_certificate",), 'has nothing to forward while client_certificate is "off"')
