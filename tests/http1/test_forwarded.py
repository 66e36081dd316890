"""Who the client is: only trusted proxies are believed."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.http1.forwarded import Forwarding, forwarding
from splicer.http1.request import parse_request
from splicer.model import RequestHead

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def head(*lines: bytes) -> RequestHead:
    return parse_request(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a:1", *lines, b"", b""]), limit=65536)[0]


LIES = (
    b"X-Forwarded-For: 9.9.9.9",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: b",
    b"X-Request-ID: theirs",
)


@pytest.mark.parametrize("peer", ["1.2.3.4", "::1", "11.0.0.1"])
def test_a_stranger_is_the_client_and_is_believed_in_nothing(peer: str) -> None:
    expected = Forwarding(peer, peer, "http", "a:1", "ours")
    assert forwarding(head(*LIES), peer, TRUSTED, "ours") == expected
    assert forwarding(head(*LIES), peer, (), "ours") == expected


def test_a_trusted_proxy_is_believed_and_named() -> None:
    assert forwarding(head(*LIES), "10.0.0.1", TRUSTED, "ours") == Forwarding(
        "9.9.9.9", "9.9.9.9, 10.0.0.1", "https", "b", "theirs", believed=True
    )
    assert forwarding(head(), "10.0.0.1", TRUSTED, "ours") == Forwarding(
        "10.0.0.1", "10.0.0.1", "http", "a:1", "ours", believed=True
    )


@pytest.mark.parametrize(
    ("peer", "fields", "proto"),
    [
        ("1.2.3.4", (), "https"),
        ("1.2.3.4", (b"X-Forwarded-Proto: http",), "https"),
        ("10.0.0.1", (), "https"),
        ("10.0.0.1", (b"X-Forwarded-Proto: http",), "http"),
        ("10.0.0.1", (b"X-Forwarded-Proto: wss",), "https"),
    ],
)
def test_a_peer_that_spoke_tls_came_by_https_unless_a_trusted_proxy_says_otherwise(
    peer: str, fields: tuple[bytes, ...], proto: str
) -> None:
    assert forwarding(head(*fields), peer, TRUSTED, "ours", secure=True).proto == proto


@pytest.mark.parametrize("peer", ["::ffff:10.0.0.1", "::FFFF:10.0.0.1"])
def test_a_mapped_peer_is_judged_and_named_as_ipv4(peer: str) -> None:
    told = forwarding(head(*LIES), peer, TRUSTED, "ours")
    assert (told.client, told.forwarded_for) == ("9.9.9.9", "9.9.9.9, 10.0.0.1")
    assert forwarding(head(), peer, (), "ours").client == "10.0.0.1"


@pytest.mark.parametrize(
    ("fields", "client"),
    [
        ([b"1.1.1.1"], "1.1.1.1"),
        ([b"1.1.1.1, 2.2.2.2"], "2.2.2.2"),
        ([b"1.1.1.1, 2.2.2.2, 10.1.1.1"], "2.2.2.2"),
        ([b"1.1.1.1", b"10.2.2.2", b"10.1.1.1"], "1.1.1.1"),
        ([b"1.1.1.1, junk, 10.1.1.1"], "10.1.1.1"),
        ([b"1.1.1.1, unknown"], "10.0.0.1"),
        ([b"1.1.1.1,"], "1.1.1.1"),
        ([b"1.1.1.1, ,\t, 10.1.1.1, ,"], "1.1.1.1"),
        ([b","], "10.0.0.1"),
        ([b""], "10.0.0.1"),
        ([b"1.1.1.1", b""], "1.1.1.1"),
        ([b"10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ([b"1.1.1.1:567"], "1.1.1.1"),
        ([b"[2001:db9::1]:567"], "2001:db9::1"),
        ([b"[2001:db9::1]"], "2001:db9::1"),
        ([b"2001:db9::1, 2001:db8::7"], "2001:db9::1"),
        ([b"5.5.5.5, ::ffff:10.9.9.9"], "5.5.5.5"),
        ([b"[]:80"], "10.0.0.1"),
        ([b"1.1.1.1, fe80::1%eth0"], "10.0.0.1"),
        ([b"1.1.1.1, [fe80::1%25eth0]:5"], "10.0.0.1"),
        ([b"1.1.1.1, 10.1.1.1%1"], "10.0.0.1"),
        ([b"2001:db9::1%" + b"x" * 5000], "10.0.0.1"),
        ([b"1.1.1.1" + b", 10.1.1.1" * 31], "1.1.1.1"),
        ([b"1.1.1.1" + b", 10.1.1.1" * 32], "10.1.1.1"),
        ([b"1.1.1.1" + b"," * 32 + b"10.1.1.1"], "10.1.1.1"),
        ([b"1.1.1.1, \xff"], "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_stranger_from_the_right(fields: list[bytes], client: str) -> None:
    told = forwarding(head(*(b"X-Forwarded-For: " + value for value in fields)), "10.0.0.1", TRUSTED, "x")
    assert told.client == client
    came = ", ".join(value.decode("latin-1") for value in fields if value).rstrip(", ")
    assert told.forwarded_for == (f"{came}, 10.0.0.1" if came else "10.0.0.1")


@pytest.mark.parametrize(
    ("lines", "proto"),
    [
        ([b"HTTPS"], "https"),
        ([b"http"], "http"),
        ([b"ws"], "http"),
        ([b"WSS"], "https"),
        ([b"https,https"], "https"),
        ([b"https, wss,"], "https"),
        ([b"https", b"https"], "https"),
        ([b"https, http"], "http"),
        ([b"http, https"], "http"),
        ([b"https", b"http"], "http"),
        ([b"https, gopher"], "http"),
        ([b"https https"], "http"),
        ([b","], "http"),
        ([], "http"),
    ],
)
def test_https_is_what_all_proxies_say(lines: list[bytes], proto: str) -> None:
    told = forwarding(head(*(b"X-Forwarded-Proto: " + line for line in lines)), "10.0.0.1", TRUSTED, "x")
    assert told.proto == proto


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([b"a" * 128], "a" * 128),
        ([b"a" * 129], "ours"),
        ([b"a b"], "ours"),
        ([b"\xff"], "ours"),
        ([b""], "ours"),
        ([b"a", b"b"], "ours"),
    ],
)
def test_only_a_sane_request_id_is_kept(lines: list[bytes], kept: str) -> None:
    told = forwarding(head(*(b"X-Request-ID: " + line for line in lines)), "10.0.0.1", TRUSTED, "ours")
    assert told.request_id == kept


ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(["10.0.0.9", "10.1.2.3", "2001:db8::5"])


@given(st.lists(ADDRESSES, min_size=1), ADDRESSES)
def test_nothing_left_of_the_first_stranger_changes_who_the_client_is(chain: list[str], liar: str) -> None:
    def client(entries: list[str]) -> str:
        line = b"X-Forwarded-For: " + ", ".join(entries).encode()
        return forwarding(head(line), "10.0.0.1", TRUSTED, "x").client

    found = ip_address(client(chain))
    if not any(found in network for network in TRUSTED):
        assert client([liar, *chain]) == str(found)


@given(st.lists(st.from_regex(rb"\A[\x21-\x7e\x80-\xff]{0,20}\Z")))
def test_whatever_the_field_says_the_client_is_an_address(values: list[bytes]) -> None:
    request = head(*(b"X-Forwarded-For: " + value for value in values))
    ip_address(forwarding(request, "10.0.0.1", TRUSTED, "x").client)
