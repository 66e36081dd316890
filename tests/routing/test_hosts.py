from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.routing.hosts import host_matches, host_name, hosts_cover


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.COM", "example.com"),
        ("example.com:8080", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("[FD00::A]:80", "[fd00::a]"),
        ("[::1", ""),
        ("", ""),
    ],
)
def test_host_name(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("hosts", "name", "matches"),
    [
        ((), "anything", True),
        ((), "", True),
        (("a.b", "c.d"), "c.d", True),
        (("a.b",), "x.a.b", False),
        (("*.a.b",), "x.a.b", True),
        (("*.a.b",), "x.y.a.b", True),
        (("*.a.b",), "a.b", False),
        (("*.a.b",), ".a.b", False),
        (("*.a.b",), "xa.b", False),
        (("[::1]",), "[::1]", True),
    ],
)
def test_host_matches(hosts: tuple[str, ...], name: str, *, matches: bool) -> None:
    assert host_matches(hosts, name) is matches


HOSTS = st.lists(st.sampled_from(["a", "b.a", "*.a", "*.b.a", "c", "*.c"]), max_size=3).map(tuple)
NAMES = ["a", "b.a", "x.a", "x.b.a", "y.x.b.a", "c", "x.c", "z"]


@given(HOSTS, HOSTS)
def test_hosts_cover_only_what_they_match(earlier: tuple[str, ...], later: tuple[str, ...]) -> None:
    if hosts_cover(earlier, later):
        assert all(host_matches(earlier, name) for name in NAMES if host_matches(later, name))


@pytest.mark.parametrize(
    ("earlier", "later"), [((), ()), ((), ("a",)), (("a", "b"), ("b",)), (("*.a",), ("x.a", "*.b.a"))]
)
def test_hosts_cover(earlier: tuple[str, ...], later: tuple[str, ...]) -> None:
    assert hosts_cover(earlier, later)
