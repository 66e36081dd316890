"""Upstreams whose addresses the file itself gives, and whether they may be dialled."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from splicer.config.fixed_hosts import fixed_addresses, settle_allow
from splicer.policy.allowed import LOCALHOST

_HOSTS = {"pod.test": ("10.0.0.1", "10.0.0.2"), "local.test": ("127.0.0.1",), "odd.test": ("169.254.169.254",)}
_TEN = (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("10.0.0.1", ("10.0.0.1",)),
        ("fd00::1", ("fd00::1",)),
        ("localhost", LOCALHOST),
        ("LocalHost.", LOCALHOST),
        ("pod.test", ("10.0.0.1", "10.0.0.2")),
        ("POD.test.", ("10.0.0.1", "10.0.0.2")),
        ("other.test", ()),
    ],
)
def test_a_literal_localhost_or_a_name_of_the_table(host: str, addresses: tuple[str, ...]) -> None:
    assert fixed_addresses(host, _HOSTS) == addresses


def test_what_name_servers_answer_is_not_settled_here() -> None:
    assert settle_allow("other.test", None, _HOSTS) == (None, ())
    assert settle_allow("other.test", _TEN, _HOSTS) == (_TEN, ())


# Who writes an address wants it dialled.
@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "localhost"])
def test_a_literal_is_allowed_without_a_word(host: str) -> None:
    allow, faults = settle_allow(host, None, _HOSTS)
    assert allow
    assert faults == ()


def test_a_name_that_stands_for_loopback_needs_a_word() -> None:
    _, [fault] = settle_allow("local.test", None, _HOSTS)
    assert fault.text.startswith("local.test (127.0.0.1) is loopback, and every request would get 502; write allow = [")
    loopback = (ip_network("127.0.0.0/8"),)
    assert settle_allow("local.test", loopback, _HOSTS) == (loopback, ())


def test_an_allow_that_leaves_all_of_them_out_is_a_fault() -> None:
    _, [fault] = settle_allow("192.0.2.1", _TEN, _HOSTS)
    assert fault.text.startswith("192.0.2.1 lies outside, and every request would get 502; add ")
    assert settle_allow("pod.test", _TEN, _HOSTS) == (_TEN, ())


def test_what_is_never_dialled_is_a_fault_whatever_allows_it() -> None:
    for host, what in (("169.254.169.254", "169.254.169.254 is never"), ("odd.test", "gives odd.test, is never")):
        _, [fault] = settle_allow(host, (ip_network("0.0.0.0/0"),), _HOSTS)
        assert what in fault.text
        assert fault.path == ("address",)
