from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.arrival import Arrival
from splicer.proxyproto.errors import HeaderMalformed
from splicer.proxyproto.facts import VENDORS, arrival
from splicer.proxyproto.header import Header, Tlvs
from splicer.proxyproto.v2 import write_tlvs
from tests.kit.laws import examples

_VIA = "10.0.0.9"


def _facts(*tlvs: tuple[int, bytes], vendor: str | None = None) -> Arrival:
    found = arrival(Header(("192.0.2.7", 4711), ("10.0.0.1", 443), tlvs), _VIA, vendor)
    assert found is not None
    return found


def _ssl(client: int, verify: int, *tlvs: tuple[int, bytes]) -> tuple[int, bytes]:
    return 0x20, bytes([client]) + verify.to_bytes(4, "big") + write_tlvs(tlvs)


def test_a_connection_of_the_peers_own_has_none() -> None:
    assert arrival(Header(), _VIA) is None


def test_without_tlvs_there_is_who_connected_and_the_clients_port() -> None:
    assert _facts() == Arrival(_VIA, 4711)


@pytest.mark.parametrize(("value", "told"), [(b"C0A8:1", "C0A8:1"), (b"\x00\xff", "00ff"), (b"a\nb", "610a62")])
def test_the_unique_id(value: bytes, told: str) -> None:
    assert _facts((0x05, value)).facts == (("proxy_id", told),)


def test_a_unique_id_has_at_most_128_bytes() -> None:
    assert _facts((0x05, b"x" * 128)).fact("proxy_id") == "x" * 128
    with pytest.raises(HeaderMalformed):
        _facts((0x05, b"x" * 129))


_NAMED = (0x21, b"TLSv1.3"), (0x22, b"caller"), (0x23, b"TLS_AES_256_GCM_SHA384")


def test_a_client_over_tls() -> None:
    found = _facts(_ssl(1, 1, *_NAMED), (0x02, b"edge.example"))
    assert found.secure
    assert found.facts == (
        ("tls_version", "TLSv1.3"),
        ("tls_cipher", "TLS_AES_256_GCM_SHA384"),
        ("tls_sni", "edge.example"),
    )


@pytest.mark.parametrize(
    ("client", "verify", "named"),
    [(0x07, 0, True), (0x03, 0, True), (0x05, 0, True), (0x01, 0, False), (0x07, 1, False)],
)
def test_a_client_has_a_name_only_by_a_verified_certificate(client: int, verify: int, named: bool) -> None:
    assert _facts(_ssl(client, verify, *_NAMED)).fact("tls_client") == ("caller" if named else None)


def test_a_client_without_tls_is_not_secure_whatever_else_is_said() -> None:
    assert _facts(_ssl(0, 0, *_NAMED), (0x02, b"edge.example")) == Arrival(_VIA, 4711)


@pytest.mark.parametrize("value", [b"", b"\x01\x00\x00\x00", b"\x01\x00\x00\x00\x00\x21\x00\x09TLS"])
def test_a_broken_ssl_tlv(value: bytes) -> None:
    with pytest.raises(HeaderMalformed):
        _facts((0x20, value))


@pytest.mark.parametrize(
    ("vendor", "kind", "value", "told"),
    [
        ("aws", 0xEA, b"\x01vpce-08d2bf15fac5001c9", "vpce-08d2bf15fac5001c9"),
        ("aws", 0xEA, b"\x02vpce", None),
        ("aws", 0xEA, b"\x01vp ce", None),
        ("gcp", 0xE0, (2**40 + 5).to_bytes(8, "big"), str(2**40 + 5)),
        ("gcp", 0xE0, b"-----BEGIN CERTIFICATE-----", None),
        ("azure", 0xEE, b"\x01\x78\x56\x34\x12", str(0x12345678)),
        ("azure", 0xEE, b"\x01\x78\x56\x34", None),
        (None, 0xEA, b"\x01vpce", None),
        ("gcp", 0xEA, b"\x01vpce", None),
    ],
)
def test_a_vendors_own_field(vendor: str | None, kind: int, value: bytes, told: str | None) -> None:
    assert _facts((kind, value), vendor=vendor).fact("proxy_vendor") == told


@settings(max_examples=examples(50))
@given(
    tlvs=st.lists(
        st.tuples(st.sampled_from([0x01, 0x02, 0x05, 0x20, 0xE0, 0xEA, 0xEE]), st.binary(max_size=30)), max_size=5
    ),
    vendor=st.none() | st.sampled_from(sorted(VENDORS)),
)
def test_any_tlvs_are_facts_of_bounded_length_or_an_error(tlvs: list[tuple[int, bytes]], vendor: str | None) -> None:
    said: Tlvs = tuple(tlvs)
    try:
        found = arrival(Header(("192.0.2.7", 1), ("10.0.0.1", 2), said), _VIA, vendor)
    except HeaderMalformed:
        return
    assert found is not None
    assert all(len(value) <= 256 for _, value in found.facts)
