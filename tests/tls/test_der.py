"""What is read of an own certificate is what a whole X.509 library says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from splicer.tls.der import first_certificate, read

_SIGNER = ec.generate_private_key(ec.SECP256R1())
_ED25519 = ed25519.Ed25519PrivateKey.generate()
_BEGIN, _END = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
_LABELS = st.from_regex(r"[a-z0-9]{1,60}", fullmatch=True)
_GENERAL_NAMES = st.one_of(
    st.lists(_LABELS, min_size=1, max_size=4).map(lambda labels: x509.DNSName(".".join(labels))),
    _LABELS.map(lambda label: x509.UniformResourceIdentifier(f"spiffe://a.test/{label}")),
    st.ip_addresses().map(x509.IPAddress),
    _LABELS.map(lambda label: x509.RFC822Name(f"{label}@a.test")),
)


def certificate(
    names: Sequence[x509.GeneralName] = (),
    begin: datetime = _BEGIN,
    end: datetime = _END,
    key: Any = None,
) -> x509.Certificate:
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key or _ED25519.public_key())
        .serial_number(1 << 150)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=len(names) % 2 == 0)
    return made.sign(_SIGNER, hashes.SHA256())


def der(of: x509.Certificate) -> bytes:
    return of.public_bytes(serialization.Encoding.DER)


@given(st.lists(_GENERAL_NAMES, max_size=8))
def test_names(names: list[x509.GeneralName]) -> None:
    kinds = {x509.DNSName: "DNS", x509.UniformResourceIdentifier: "URI", x509.IPAddress: "IP Address"}
    expected = tuple((kinds[type(name)], str(name.value)) for name in names if type(name) in kinds)
    assert read(der(certificate(names))).names == expected


# Until 2049 a year has two digits, and then four (RFC 5280 §4.1.2.5).
@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=40_000)),
)
def test_validity(begin: datetime, lasts: timedelta) -> None:
    begin = begin.replace(microsecond=0)
    end = (begin + lasts).replace(microsecond=0)
    found = read(der(certificate(begin=begin, end=end)))
    assert (found.not_before, found.not_after) == (begin.timestamp(), end.timestamp())


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "RSA"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ECDSA"),
        (ed25519.Ed25519PrivateKey.generate, "Ed25519"),
        (ed448.Ed448PrivateKey.generate, "Ed448"),
        (lambda: dsa.generate_private_key(1024), "other"),
    ],
)
def test_the_kind_of_key(make: Callable[[], Any], kind: str) -> None:
    assert read(der(certificate(key=make().public_key()))).key == kind


def test_the_first_one_of_a_file_is_ones_own() -> None:
    one, other = certificate(), certificate([x509.DNSName("authority.test")])
    pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (one, other))
    found = first_certificate(b"a comment\n" + pem)
    assert (found.fingerprint, found.names) == (hashlib.sha256(der(one)).hexdigest(), ())


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----", b"-----BEGIN PRIVATE KEY-----\nAA==\n"])
def test_a_file_without_any(pem: bytes) -> None:
    with pytest.raises(ValueError, match="has no certificate in PEM"):
        first_certificate(pem)


_WHOLE = der(certificate([x509.DNSName("a.test"), x509.IPAddress(ip_address("::1"))]))


# A file may be half written, or anything at all.
@given(st.one_of(st.binary(max_size=60), st.integers(0, len(_WHOLE) - 1).map(lambda end: _WHOLE[:end])))
def test_nonsense_is_an_error_and_no_other(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        read(data)


@given(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255))
def test_a_byte_that_is_wrong_is_an_error_or_a_certificate(at: int, byte: int) -> None:
    with suppress(ValueError, IndexError, OverflowError):
        read(_WHOLE[:at] + bytes([byte]) + _WHOLE[at + 1 :])
