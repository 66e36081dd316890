from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.proxyproto.decode import decode
from splicer.proxyproto.errors import HeaderMalformed, HeaderTooLong, ProxyProtocolError
from splicer.proxyproto.header import Header, Place
from splicer.proxyproto.v1 import LONGEST, encode
from tests.kit.laws import examples
from tests.proxyproto.strategies import pairs


@settings(max_examples=examples(50))
@given(pair=pairs(), rest=st.binary(max_size=30))
def test_what_is_written_is_read(pair: tuple[Place, Place], rest: bytes) -> None:
    data = encode(*pair)
    assert len(data) <= LONGEST
    assert decode(data + rest) == (Header(*pair), len(data))


@settings(max_examples=examples(50))
@given(pair=pairs(), data=st.data())
def test_any_part_of_a_header_waits_for_more(pair: tuple[Place, Place], data: st.DataObject) -> None:
    whole = encode(*pair)
    assert decode(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None


@settings(max_examples=examples(50))
@given(pair=pairs(), data=st.data())
def test_a_changed_byte_is_another_header_or_an_error(pair: tuple[Place, Place], data: st.DataObject) -> None:
    whole = bytearray(encode(*pair))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(whole))
    except ProxyProtocolError:
        return
    assert found is None or isinstance(found[0], Header)


@pytest.mark.parametrize(
    ("line", "source"),
    [
        (b"TCP4 192.0.2.7 10.0.0.1 56324 443", ("192.0.2.7", 56324)),
        (b"TCP4 255.255.255.255 255.255.255.255 65535 65535", ("255.255.255.255", 65535)),
        (b"TCP6 2001:DB8::7 ::1 1 0", ("2001:db8::7", 1)),
        (b"TCP6 " + b" ".join([b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] * 2) + b" 65535 65535",
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535)),
        (b"TCP6 ::ffff:192.0.2.7 ::1 1 2", ("192.0.2.7", 1)),
        (b"UNKNOWN", None),
        (b"UNKNOWN ffff::1 ffff::2 65535 65535", None),
    ],
)  # fmt: skip
def test_lines_of_the_specification(line: bytes, source: Place | None) -> None:
    data = b"PROXY " + line + b"\r\n"
    found = decode(data + b"GET")
    assert found is not None
    assert (found[0].source, found[1]) == (source, len(data))


@pytest.mark.parametrize(
    "line",
    [
        b"TCP4 192.0.2.7 10.0.0.1 56324",
        b"TCP4 192.0.2.7 10.0.0.1 56324 443 ",
        b"TCP4  192.0.2.7 10.0.0.1 56324 443",
        b"TCP4 192.0.2.07 10.0.0.1 56324 443",
        b"TCP4 192.0.2.256 10.0.0.1 56324 443",
        b"TCP4 192.0.2.7 10.0.0.1 056324 443",
        b"TCP4 192.0.2.7 10.0.0.1 65536 443",
        b"TCP4 192.0.2.7 10.0.0.1 -1 443",
        b"TCP4 ::1 ::1 1 2",
        b"TCP6 192.0.2.7 10.0.0.1 1 2",
        b"TCP6 fe80::1%eth0 ::1 1 2",
        b"TCP6 1::2::3 ::1 1 2",
        b"UDP4 192.0.2.7 10.0.0.1 1 2",
        b"TCP 192.0.2.7 10.0.0.1 1 2",
        b"tcp4 192.0.2.7 10.0.0.1 1 2",
        b"UNKNOWNS",
        b"",
        b"TCP4 192.0.2.7 10.0.0.1 1 2\n",
    ],
)
def test_malformed_lines(line: bytes) -> None:
    with pytest.raises(HeaderMalformed, match="version 1"):
        decode(b"PROXY " + line + b"\r\n")


def test_a_line_may_have_107_bytes_and_no_more() -> None:
    line = b"PROXY UNKNOWN ".ljust(LONGEST - 2, b"x")
    assert decode(line) is None
    assert decode(line + b"\r") is None
    assert decode(line + b"\r\n") == (Header(), LONGEST)
    assert decode(line + b"x") is None
    with pytest.raises(HeaderTooLong):
        decode(line + b"xx")
    with pytest.raises(HeaderTooLong):
        decode(line + b"x\r\n")


def test_a_client_of_another_family_than_its_server_is_unknown() -> None:
    assert encode(("192.0.2.7", 1), ("::1", 2)) == b"PROXY UNKNOWN\r\n"
    assert encode(None, None) == b"PROXY UNKNOWN\r\n"
