"""Which names a certificate must have, and which wildcard covers a name (RFC 9525)."""

from __future__ import annotations

import pytest

from splicer.tls.names import canonical, has_name, wildcard_of

_HAS = (
    ("DNS", "edge.example"),
    ("DNS", "*.wild.example"),
    ("DNS", "xn--bcher-kva.example"),
    ("IP Address", "10.0.0.1"),
    ("IP Address", "FE80:0:0:0:0:0:0:1"),
    ("URI", "spiffe://cluster.local/ns/voice/sa/agent"),
    ("email", "a@edge.example"),
)


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        ("edge.example", True),
        ("EDGE.Example.", True),
        ("other.example", False),
        ("a.wild.example", True),
        ("a.b.wild.example", False),
        ("wild.example", False),
        ("*.wild.example", True),
        ("*.example", False),  # it would cover a whole registry
        ("*.org", False),
        ("bücher.example", True),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("fe80::1", True),
        ("[fe80::1]", True),
        ("spiffe://cluster.local/ns/voice/sa/agent", True),
        ("spiffe://cluster.local/ns/voice/sa/agent/", False),
        ("spiffe://CLUSTER.local/ns/voice/sa/agent", False),
        ("a@edge.example", False),
        ("", False),
    ],
)
def test_names(wanted: str, has: bool) -> None:
    assert has_name(_HAS, [wanted]) is has
    assert has_name(_HAS, ["nobody.example", wanted]) is has
    assert not has_name((), [wanted])


def test_an_ip_address_is_never_covered_by_a_wildcard() -> None:
    assert not has_name([("DNS", "*.0.0.1"), ("DNS", "10.0.0.1")], ["10.0.0.1"])


def test_wildcards() -> None:
    assert wildcard_of("a.b.c") == "*.b.c"
    assert wildcard_of("a.com") is None  # *.com covers nothing
    assert wildcard_of("com") is None
    assert canonical("BÜCHER.example") == "xn--bcher-kva.example"
