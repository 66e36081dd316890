"""The words for handshakes that failed, by real ones."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from splicer.tls.failures import of_client, of_pod
from tests.kit.tls import Certificates
from tests.tls.bios import Side, shake_hands


def server(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


def refused(client: ssl.SSLContext, at: ssl.SSLContext, *, name: str | None = "a.test") -> ssl.SSLError:
    """What whoever refuses says."""
    one, other = Side(client, server=False, name=name), Side(at, server=True)
    with pytest.raises(ssl.SSLError) as raised:
        shake_hands(one, other)
    return raised.value


def test_a_pod_is_judged_by_why_its_certificate_is_no_good(certificates: Certificates) -> None:
    good = server(certificates.folder("good", "a.test"))
    expired = server(certificates.by_uri("expired", "spiffe://a.test/x", days=-1))
    stranger = ssl.create_default_context(cadata=trustme.CA().cert_pem.bytes().decode())
    nameless = certificates.client()
    nameless.check_hostname = False
    found = [
        of_pod(refused(nameless, expired, name=None)),
        of_pod(refused(stranger, good)),
        of_pod(refused(certificates.client(), good, name="b.test")),
    ]
    assert [failure.reason for failure in found] == ["tls_expired", "tls_untrusted", "tls_untrusted"]
    assert [failure.detail.split(",")[0] for failure in found] == [
        "certificate has expired",
        "unable to get local issuer certificate",
        "Hostname mismatch",
    ]


def test_a_pod_that_speaks_something_else(certificates: Certificates) -> None:
    client = Side(certificates.client(), server=False)
    client.shake()
    client.incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as raised:
        client.tls.do_handshake()
    assert of_pod(raised.value).reason == "tls_refused"
    assert of_pod(raised.value).detail == "it does not speak TLS"


def test_a_pod_that_refuses_says_why_in_words(certificates: Certificates) -> None:
    old = server(certificates.folder("good", "a.test"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    client = certificates.client()
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    other, one = Side(old, server=True), Side(client, server=False, name="a.test")
    other.incoming.write(one.shake())
    with pytest.raises(ssl.SSLError):
        other.tls.do_handshake()
    one.incoming.write(other.outgoing.read())
    with pytest.raises(ssl.SSLError) as raised:
        one.tls.do_handshake()
    assert (of_pod(raised.value).reason, of_pod(raised.value).detail) == ("tls_refused", "tlsv1 alert protocol version")


def test_a_client_is_judged_by_what_it_does(certificates: Certificates) -> None:
    good = certificates.folder("good", "a.test")
    asks, modern = server(good), server(good)
    asks.verify_mode = ssl.CERT_REQUIRED
    asks.maximum_version = ssl.TLSVersion.TLSv1_2  # in TLS 1.3 a client's certificate comes after its handshake
    asks.load_verify_locations(certificates.ca)
    modern.minimum_version = ssl.TLSVersion.TLSv1_3
    old = certificates.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    strange = certificates.client()
    authority = trustme.CA()
    authority.issue_cert("x.test").configure_cert(strange)
    words = []
    for client, at in ((certificates.client(), asks), (strange, asks), (old, modern)):
        error = refused(client, at)
        words.append(of_client(error.reason or "", "it", "a.test"))
    assert [(word.reason, word.detail, word.sni) for word in words] == [
        ("tls_no_certificate", "it", "a.test"),
        ("tls_bad_certificate", "it", "a.test"),
        ("tls_version", "it", "a.test"),
    ]


def test_a_word_for_whatever_else_comes() -> None:
    assert of_client("TLSV1_ALERT_UNKNOWN_CA", "x").reason == "tls_alert"
    assert of_client("SOMETHING_OF_NEXT_YEAR", "x").reason == "tls_bad_handshake"
    unexplained = ssl.SSLError()
    unexplained.reason = None  # type: ignore[assignment]  # as OpenSSL has it sometimes
    assert of_pod(unexplained).detail == "unknown"
