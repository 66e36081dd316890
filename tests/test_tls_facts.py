"""What is known of a TLS connection after its handshake."""

from __future__ import annotations

import pytest

from splicer.tls_facts import CertificateFiles, ClientCertificate, TlsFacts

_SUBJECT = "CN=a workload"


@pytest.mark.parametrize(
    ("uris", "dns", "name"),
    [
        (("spiffe://a/b", "spiffe://a/c"), ("a.test",), "spiffe://a/b"),
        ((), ("a.test", "b.test"), "a.test"),
        ((), (), _SUBJECT),
    ],
)
def test_a_certificate_has_one_name_for_the_log(uris: tuple[str, ...], dns: tuple[str, ...], name: str) -> None:
    assert ClientCertificate("ab", _SUBJECT, uris=uris, dns=dns, ips=("10.0.0.1",)).name == name


def test_its_names_have_the_kinds_that_ssl_has() -> None:
    certificate = ClientCertificate("ab", uris=("u:1",), dns=("a.test", "b.test"), ips=("::1",))
    assert certificate.names == (("URI", "u:1"), ("DNS", "a.test"), ("DNS", "b.test"), ("IP Address", "::1"))


def test_the_log_has_what_is_known() -> None:
    assert TlsFacts("TLSv1.3", "AES").logged == (("tls_version", "TLSv1.3"), ("tls_cipher", "AES"))
    whole = TlsFacts("TLSv1.3", "AES", sni="a.test", peer=ClientCertificate("ab", dns=("caller.test",)))
    assert whole.logged[2:] == (("tls_sni", "a.test"), ("tls_client", "caller.test"))


# "A new field needs a default": another version sends a name that this one has, and nothing else.
def test_a_certificate_without_any_name_is_named_by_nothing() -> None:
    facts = TlsFacts("TLSv1.2", "AES", peer=ClientCertificate("ab"))
    assert "tls_client" not in dict(facts.logged)


def test_a_certificates_files_are_named_by_where_they_are() -> None:
    assert CertificateFiles(folder="/tls").name == "/tls"
    assert CertificateFiles(chain="/a.pem", key="/b.pem").name == "/a.pem"
