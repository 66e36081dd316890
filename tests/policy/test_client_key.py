"""What counts as one client."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from splicer.policy.client_key import client_key


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_an_ipv4_address_is_one(one: IPv4Address, other: IPv4Address) -> None:
    assert (client_key(str(one)) == client_key(str(other))) == (one == other)
    assert client_key(f"::ffff:{one}") == client_key(str(one))


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1), st.integers(64, 127))
def test_so_is_an_ipv6_network_of_64_bits(one: IPv6Address, host: int, bit: int) -> None:
    whole = int(one) | 1 << 127  # not a mapped one
    same, different = IPv6Address(whole >> 64 << 64 | host), IPv6Address(whole ^ 1 << bit | 1)
    assert client_key(str(same)) == client_key(str(IPv6Address(whole)))
    assert client_key(str(different)) != client_key(str(IPv6Address(whole)))


def test_a_scope_makes_no_other_client() -> None:
    assert client_key("fe80::1%eth0") == client_key("fe80::2")
