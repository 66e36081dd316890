"""X-Forwarded-Client-Cert, as Envoy writes it."""

from __future__ import annotations

from splicer.http1.client_certificate import forwarded_certificate
from splicer.tls_facts import ClientCertificate


def test_an_element() -> None:
    certificate = ClientCertificate(
        "ab12", "CN=caller,O=Partner", ("spiffe://a/b", "urn:x"), ("a.test", "b.test"), ours="spiffe://edge"
    )
    assert forwarded_certificate(certificate) == (
        'By=spiffe://edge;Hash=ab12;Subject="CN=caller,O=Partner";URI=spiffe://a/b;URI=urn:x;DNS=a.test;DNS=b.test'
    )


def test_no_value_ends_early() -> None:
    certificate = ClientCertificate("ab", 'CN=a\\"b\r\nX-Evil: 1,O=é', ('a;b="c"',), ("d,e",))
    told = forwarded_certificate(certificate)
    assert told == 'Hash=ab;Subject="CN=a\\\\\\"b%0D%0AX-Evil: 1,O=%C3%A9";URI="a;b=\\"c\\"";DNS="d,e"'
    assert told.isascii()


def test_the_certificate_itself() -> None:
    assert 'Cert="-----BEGIN%20X-----%0Aab%2B%3D%0A"' in forwarded_certificate(
        ClientCertificate("ab", pem="-----BEGIN X-----\nab+=\n")
    )
