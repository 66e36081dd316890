from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.config.addresses import (
    ListenAddress,
    fixed_hosts,
    ip,
    is_host_name,
    listen_address,
    nameserver,
    network,
    split_port,
)
from splicer.config.scalars import At, BadValue


@pytest.mark.parametrize(
    ("parse", "value", "parsed"),
    [
        (ip, "::0001", "::1"),
        (listen_address, "0.0.0.0:8080", ListenAddress("0.0.0.0", 8080)),
        (listen_address, "[::]:8080", ListenAddress("::", 8080)),
        (listen_address, ":8080", ListenAddress("0.0.0.0", 8080)),
        (listen_address, "127.0.0.1:0", ListenAddress("127.0.0.1", 0)),
        (nameserver, "10.0.0.10", ("10.0.0.10", 53)),
        (nameserver, "10.0.0.10:5353", ("10.0.0.10", 5353)),
        (nameserver, "[::1]:54", ("::1", 54)),
        (nameserver, "[::1]", ("::1", 53)),
        (nameserver, "fd00::a", ("fd00::a", 53)),
        (network, "10.0.0.0/8", ip_network("10.0.0.0/8")),
        (network, "127.0.0.1", ip_network("127.0.0.1/32")),
        (network, "fd00::/8", ip_network("fd00::/8")),
        (
            fixed_hosts,
            {"A.b.": "127.0.0.1", "c": ["::1", "10.0.0.1"]},
            {"a.b": ("127.0.0.1",), "c": ("::1", "10.0.0.1")},
        ),
    ],
)
def test_parse(parse: Callable[[object], Any], value: object, parsed: object) -> None:
    assert parse(value) == parsed


@pytest.mark.parametrize(
    ("parse", "value", "fault"),
    [
        (ip, "localhost", '"localhost" is no IP address'),
        (ip, "fe80::1%eth0", '"fe80::1%eth0" is no IP address'),
        (listen_address, 8080, 'must be an address with a port; write "0.0.0.0:8080"'),
        (listen_address, 10**9, 'must be an address with a port; write "0.0.0.0:8080"'),
        (listen_address, True, "must be a string, not true"),
        (listen_address, "127.0.0.1", '"127.0.0.1" has no port; write for example "127.0.0.1:8080"'),
        (listen_address, "::1", '"::1" has no port; write for example "[::1]:8080"'),
        (listen_address, "localhost:80", '"localhost:80" must be an IP address; write "127.0.0.1:80"'),
        (listen_address, "a:80", '"a" is no IP address; write for example "0.0.0.0:8080" or "[::]:8080"'),
        (listen_address, "1.2.3.4:65536", 'port "65536" is not between 0 and 65535'),
        (listen_address, "1.2.3.4:", 'port "" is not between 0 and 65535'),
        (listen_address, "1.2.3.4:-1", 'port "-1" is not between 0 and 65535'),
        (listen_address, "1.2.3.4:٣", 'port "٣" is not between 0 and 65535'),
        (listen_address, "[::1]80", '"[::1]80" has no port; write for example "0.0.0.0:8080"'),
        (nameserver, "dns.local", '"dns.local" is no IP address; write for example "10.0.0.10" or "[::1]:53"'),
        (nameserver, "10.0.0.1:0", 'port "0" is not between 1 and 65535'),
        (network, "10.0.0.1/8", '"10.0.0.1/8" is an address within a network; the network is "10.0.0.0/8"'),
        (network, "ten", '"ten" is no network; write for example "10.0.0.0/8"'),
        (fixed_hosts, {"a": "::1", "A": "::1"}, '"a" stands there twice: names are compared without case'),
    ],
)
def test_a_fault_says_what_and_how(parse: Callable[[object], Any], value: object, fault: str) -> None:
    with pytest.raises(BadValue) as refused:
        parse(value)
    assert str(refused.value) == fault


def test_fixed_hosts_tell_which_entry() -> None:
    with pytest.raises(ExceptionGroup) as refused:
        fixed_hosts({"a b": "::1", "c": {"d": "::1"}, "e": [], "ok": "::1"})
    faults = [(fault.key, str(fault.fault)) for fault in refused.value.exceptions if isinstance(fault, At)]
    assert faults == [
        ("a b", "is no host name"),
        ("c", "is a table; put a name with dots in quotes"),
        ("e", "must not be empty: a name needs an address"),
    ]


@pytest.mark.parametrize("host", ["a", "a.b.", "smart_router.local", "x" * 63, "xn--bcher-kva.example", "1a.2b"])
def test_a_host_name(host: str) -> None:
    assert is_host_name(host)


@pytest.mark.parametrize(
    "host", ["", ".", "a..b", ".a", "-a", "a-", "x" * 64, "a b", "a\n", "é", "1.2.3.256", "1", "a/b"]
)
def test_no_host_name(host: str) -> None:
    assert not is_host_name(host)


@given(st.text("[]:.a1", max_size=8))
def test_any_text_has_a_host_and_perhaps_a_port(text: str) -> None:
    host, port = split_port(text)
    assert port is None or text.endswith(port)
    assert host in text


def test_listen_addresses_read_as_they_are_written() -> None:
    for text in ("0.0.0.0:8080", "[::1]:80"):
        assert str(listen_address(text)) == text
