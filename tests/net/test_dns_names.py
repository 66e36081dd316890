"""Names, types and codes in DNS messages: they are dnspython's."""

from __future__ import annotations

import dns.exception
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.net.dns_names import Rcode, RdataType, rcode_text, to_text, to_wire

_LABELS = st.text("abcXYZ019-_", max_size=66)


@given(st.lists(_LABELS, min_size=1, max_size=6).map(".".join), st.sampled_from(["", "."]))
def test_a_name_is_written_as_dnspython_does(name: str, dot: str) -> None:
    try:
        expected = dns.name.from_text(name).to_wire() if name else None
    except dns.exception.DNSException:
        expected = None
    if not name.endswith("."):
        assert to_wire(name + dot) == expected


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", "a..", "\u00e4.example", "x" * 64, ".".join(["x" * 63] * 4)])
def test_what_can_be_no_name(name: str) -> None:
    assert to_wire(name) is None


def test_the_longest_name_is_one() -> None:
    longest = ".".join(["x" * 63] * 3 + ["x" * 61])
    assert len(to_wire(longest) or b"") == 255
    assert to_wire(longest + "x") is None


@given(st.lists(st.from_regex("[a-z0-9-]{1,63}", fullmatch=True), min_size=1, max_size=3).map(".".join))
def test_what_was_written_can_be_read(name: str) -> None:
    wire = to_wire(name)
    assert wire is not None
    assert to_text(wire) == name


def test_a_strange_label_can_be_read() -> None:
    assert to_text(b"\x03a\xffb\x00") == "a\\xffb"
    assert to_text(b"\x00") == ""


def test_types_and_codes_have_dnspythons_names() -> None:
    assert all(kind.name == dns.rdatatype.to_text(dns.rdatatype.RdataType(kind)) for kind in RdataType)
    assert [rcode_text(code) for code in range(16)] == [dns.rcode.to_text(dns.rcode.Rcode(code)) for code in range(16)]
    assert len(Rcode) == 12
