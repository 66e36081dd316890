from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from splicer.model import Network
from splicer.policy.allowed import METADATA, allowed

PRIVATE = (ip_network("10.0.0.0/8"),)
EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "239.255.255.255",
        "ff02::1",
        "240.0.0.1",
        "255.255.255.255",
        "::10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b::0.0.0.0",
        "fe80::1%eth0",
        "2001:db8::1%eth0",
        "::1%lo",
        "::ffff:10.0.0.1%eth0",
        "10.0.0",
        "0x0a000001",
        "pod-0.example",
        "",
        *sorted(map(str, METADATA)),
    ],
)
def test_what_is_never_a_pod_is_refused_whatever_the_networks_say(address: str) -> None:
    assert not allowed(address, None)
    assert not allowed(address, EVERYTHING)


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "8.8.8.8",
        "100.64.0.1",
        "fd12:3456::1",
        "2001:4860::8888",
        "2002:a00:1::1",
    ],
)
def test_without_networks_any_other_unicast_address_is_allowed(address: str) -> None:
    assert allowed(address, None)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_loopback_needs_a_network_that_says_so(address: str) -> None:
    assert not allowed(address, None)
    assert not allowed(address, PRIVATE)
    assert allowed(address, (ip_network("127.0.0.0/8"), ip_network("::1/128")))


def test_networks_decide_about_the_rest() -> None:
    assert allowed("10.255.0.1", PRIVATE)
    assert not allowed("11.0.0.1", PRIVATE)
    assert not allowed("10.255.0.1", ())
    assert not allowed("fd00::a00:1", PRIVATE)


@pytest.mark.parametrize("clothes", ["::ffff:{}", "64:ff9b::{}"])
def test_an_ipv4_address_in_ipv6_clothes_is_judged_as_ipv4(clothes: str) -> None:
    assert allowed(clothes.format("10.0.0.1"), PRIVATE)
    assert not allowed(clothes.format("11.0.0.1"), PRIVATE)
    assert not allowed(clothes.format("10.0.0.1"), (ip_network("::/0"),))


# The law, by arithmetic on the bits alone.


def bits(address: IPv4Address | IPv6Address) -> str:
    return format(int(address), f"0{address.max_prefixlen}b")


def within(address: IPv4Address | IPv6Address, network: Network) -> bool:
    same = address.version == network.version
    return same and bits(address)[: network.prefixlen] == bits(network.network_address)[: network.prefixlen]


NEVER = [
    *map(ip_network, ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "fe80::/10", "ff00::/8")),
    *(ip_network(address) for address in METADATA),
    # All of IPv6 but global unicast, unique local and the old site-local (IANA's IPv6 address space).
    *map(ip_network, ("::/3", "4000::/2", "8000::/2", "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9")),
]
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


def model(address: IPv4Address | IPv6Address, allow: tuple[Network, ...] | None) -> bool:
    if within(address, ip_network("::ffff:0:0/96")) or within(address, ip_network("64:ff9b::/96")):
        address = IPv4Address(int(address) & 0xFFFFFFFF)
    loopback = any(within(address, network) for network in LOOPBACK)
    if not loopback and any(within(address, network) for network in NEVER):
        return False
    if allow is None:
        return not loopback
    return any(within(address, network) for network in allow)


networks = st.sampled_from([*LOOPBACK, *PRIVATE, *EVERYTHING, *NEVER, ip_network("fd00::/8"), ip_network("2000::/3")])
near = st.builds(
    lambda network, offset: network[offset % network.num_addresses],
    st.one_of(networks, st.sampled_from([ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96")])),
    st.integers(0, 2**128),
)
mapped = st.builds(
    lambda prefix, v4: IPv6Address(prefix | int(v4)), st.sampled_from([0xFFFF << 32, 0x64FF9B << 96]), near
)
addresses = st.one_of(st.ip_addresses(), near, mapped.filter(lambda address: int(address) < 2**128))


@given(addresses, st.none() | st.lists(networks, max_size=3).map(tuple))
@example(ip_address("::1"), None)
@example(ip_address("64:ff9b::7f00:1"), LOOPBACK[:1])
def test_the_law(address: IPv4Address | IPv6Address, allow: tuple[Network, ...] | None) -> None:
    allow = None if allow is None else tuple(allow)
    assert allowed(str(address), allow) == model(address, allow)


@given(st.text(max_size=40), st.none() | st.lists(networks, max_size=2).map(tuple))
def test_any_text_gets_a_verdict(text: str, allow: tuple[Network, ...] | None) -> None:
    assert allowed(text, allow) in (True, False)
