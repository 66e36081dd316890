"""Messages of name servers: what dnspython reads in them, and what is no message."""

from __future__ import annotations

import math
import struct
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import ResolveFailed
from splicer.net.dns_names import RdataType
from splicer.net.dns_wire import Query, Response, make_query, read_response

POD = dns.name.from_text("Pod-0.example.")
NAME = POD.to_wire() or b""


@pytest.mark.parametrize("payload", [None, 1232])
def test_a_question_is_as_dnspython_writes_it(payload: int | None) -> None:
    """Whose numbers are as random."""
    edns: dict[str, Any] = {"use_edns": False} if payload is None else {"use_edns": 0, "payload": payload}
    ours = make_query(NAME, RdataType.AAAA, payload).wire
    assert ours[2:] == dns.message.make_query(POD, "AAAA", **edns).to_wire()[2:]
    assert len({make_query(NAME, RdataType.AAAA, payload).wire[:2] for _ in range(20)}) > 10


RANDOM = make_query(NAME, RdataType.A, 1232)
QUERY = evolve(RANDOM, wire=b"id" + RANDOM.wire[2:])  # the names of tests have it: they are the same in every run
QUESTION = QUERY.wire[12:-11]  # without EDNS


def message(*records: bytes, answers: int | None = None, authorities: int = 0, flags: int = 0x8180) -> bytes:
    count = len(records) - authorities if answers is None else answers
    return QUERY.wire[:2] + struct.pack("!5H", flags, 1, count, authorities, 0) + QUESTION + b"".join(records)


def record(owner: bytes, kind: int, data: bytes, ttl: int = 30, klass: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, klass, ttl, len(data)) + data


HERE = b"\xc0\x0c"  # the name asked for
ADDRESS = record(HERE, RdataType.A, bytes([127, 0, 0, 1]))


def test_a_query_is_what_dnspython_would_send() -> None:
    for payload, edns in (None, -1), (1232, 0):
        query = make_query(NAME, RdataType.AAAA, payload)
        sent = dns.message.from_wire(query.wire)
        assert (sent.edns, sent.question[0].name, int(sent.question[0].rdtype)) == (edns, POD, RdataType.AAAA)
        assert query.wire[12 : 12 + len(query.question)].lower() == query.question


def test_addresses_of_the_name_and_no_others() -> None:
    other = record(b"\x01x\xc0\x0c", RdataType.A, b"abcd")
    later = record(HERE, RdataType.A, bytes([10, 0, 0, 2]), ttl=7)
    chaos = record(HERE, RdataType.A, b"abcd", klass=3)
    ipv6 = record(HERE, RdataType.AAAA, bytes(16))
    told = read_response(message(ADDRESS, other, chaos, ipv6, later, ADDRESS), QUERY)
    assert told == Response(dns.rcode.NOERROR, False, ("127.0.0.1", "10.0.0.2"), 7)


def test_a_name_s_case_is_nobody_s_business() -> None:
    wire = message(record(b"\x05pOD-0\x07eXAMPLE\x00", RdataType.A, b"\x7f\x00\x00\x01"))
    upper = wire.replace(b"Pod-0", b"POD-0")
    assert read_response(upper, QUERY) == Response(dns.rcode.NOERROR, False, ("127.0.0.1",), 30)


@pytest.mark.parametrize(
    "wire",
    [
        b"xx" + message(ADDRESS)[2:],
        message(ADDRESS, flags=0x0180),  # a query
        message(ADDRESS, flags=0x8980),  # of another kind
        message(ADDRESS).replace(b"Pod-0", b"Pod-1"),
        message(ADDRESS).replace(b"example\x00\x00\x01", b"example\x00\x00\x1c"),
        QUERY.wire[:2] + struct.pack("!5H", 0x8180, 0, 0, 0, 0),
        QUERY.wire[:2] + struct.pack("!5H", 0x8180, 2, 0, 0, 0) + QUESTION * 2,
    ],
)
def test_what_answers_something_else_is_none(wire: bytes) -> None:
    assert read_response(wire, QUERY) is None


@pytest.mark.parametrize("rcode", [1, 2, 4, 5])
def test_who_can_t_answer_may_leave_out_the_question(rcode: int) -> None:
    wire = QUERY.wire[:2] + struct.pack("!5H", 0x8180 | rcode, 0, 0, 0, 0)
    assert read_response(wire, QUERY) == Response(dns.rcode.Rcode(rcode), False)


@pytest.mark.parametrize("cut", [1, 4, 9, 15, 16])
def test_a_truncated_answer_may_end_within_a_record(cut: int) -> None:
    wire = message(ADDRESS, ADDRESS, flags=0x8380)[:-cut]
    assert read_response(wire, QUERY) == Response(dns.rcode.NOERROR, True, ("127.0.0.1",), 30)


@pytest.mark.parametrize("rcode", [1, 4])
def test_who_knows_no_edns_may_send_the_header_back_alone(rcode: int) -> None:
    wire = QUERY.wire[:2] + struct.pack("!5H", 0x8180 | rcode, 1, 0, 0, 1)
    assert read_response(wire, QUERY) == Response(dns.rcode.Rcode(rcode), False)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        QUERY.wire[:2],
        message(ADDRESS)[:-1],
        message(ADDRESS, answers=2),
        message(record(b"\xc0\xff", 1, b"abcd")),
        message(b"\x05abc"),
        message(b"\x80" + ADDRESS),
        message(b"\x40" + ADDRESS),
        message(record(HERE, 1, b"abc")),
        message(record(HERE, 1, b"abcde")),
        message(record(HERE, RdataType.CNAME, b"\xff\xff")),
        message(record(b"\x3f" + b"a" * 63, 1, b"abcd")),
        message(record((b"\x3f" + b"a" * 63) * 4 + b"\x00", 1, b"abcd")),
        message(record((b"\x01a" * 121) + b"\xc0\x0c", 1, b"abcd")),
    ],
)
def test_what_is_malformed_is_told(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"ends too early|name|label|address"):
        read_response(wire, QUERY)


@pytest.mark.parametrize("back", [0, -1, -2])
def test_names_never_lead_in_a_circle(back: int) -> None:
    at = len(message())
    pointer = struct.pack("!H", 0xC000 | (at + 2 + back))
    with pytest.raises(ValueError, match="forward"):
        read_response(message(record(b"\x01a" + pointer, 1, b"abcd")), QUERY)


def test_aliases_end() -> None:
    circle = record(HERE, RdataType.CNAME, b"\x01x\xc0\x0c") + record(b"\x01x\xc0\x0c", RdataType.CNAME, HERE)
    with pytest.raises(ResolveFailed, match="no end of aliases"):
        read_response(message(circle, answers=2), QUERY)


def test_a_name_that_does_not_exist_has_no_address() -> None:
    with pytest.raises(ResolveFailed):
        read_response(message(ADDRESS, flags=0x8183), QUERY)


def test_a_ttl_beyond_all_bounds_is_none() -> None:
    told = read_response(message(record(HERE, 1, b"abcd", ttl=2**31)), QUERY)
    assert told
    assert told.ttl == 0


NAMES = st.sampled_from(["pod-0.example.", "POD-0.example.", "a.example.", "b.a.example.", "other.", "."])
TTLS = st.integers(0, 100)
RECORDS = st.one_of(
    st.tuples(NAMES, TTLS, st.just("A"), st.ip_addresses(v=4).map(str)),
    st.tuples(NAMES, TTLS, st.just("AAAA"), st.ip_addresses(v=6).map(str)),
    st.tuples(NAMES, TTLS, st.just("CNAME"), NAMES),
    st.tuples(NAMES, TTLS, st.just("TXT"), st.just("x")),
)
ZONES = st.one_of(
    st.tuples(NAMES, TTLS, st.just("NS"), NAMES),
    st.tuples(st.just("."), TTLS, st.just("SOA"), TTLS.map("ns. admin. 1 3600 600 86400 {}".format)),
)


def rrsets(records: list[tuple[str, int, str, str]]) -> list[dns.rrset.RRset]:
    return [dns.rrset.from_text(name, ttl, "IN", kind, data) for name, ttl, kind, data in records]


@given(st.lists(RECORDS, max_size=8), st.lists(ZONES, max_size=3), st.sampled_from([0, 0, 2, 3, 5]), st.booleans())
def test_what_is_read_is_what_dnspython_reads(
    answer: list[tuple[str, int, str, str]], authority: list[tuple[str, int, str, str]], rcode: int, ipv6: bool
) -> None:
    query = make_query(NAME, RdataType.AAAA if ipv6 else RdataType.A, None)
    made = dns.message.make_response(dns.message.from_wire(query.wire))
    made.set_rcode(dns.rcode.Rcode(rcode))
    single = {one[0].lower(): one for one in answer if one[2] == "CNAME"}  # nobody has two
    answer = [one for one in answer if one[2] != "CNAME" or single[one[0].lower()] is one]
    zones = [one for one in authority if one[2] == "SOA"]  # nor has a zone
    authority = [one for one in authority if one not in zones[1:]]
    made.answer, made.authority = rrsets(answer), rrsets(authority)
    wire = made.to_wire()
    reference = dns.message.from_wire(wire)
    assert isinstance(reference, dns.message.QueryMessage)
    try:
        chain = reference.resolve_chaining()
    except dns.exception.DNSException:
        with pytest.raises(ResolveFailed):
            read_response(wire, query)
        return
    told = read_response(wire, query)
    assert told is not None
    addresses = tuple(address.to_text() for address in chain.answer or ())
    assert (told.rcode, told.addresses) == (rcode, addresses)
    assert told.alias == (chain.canonical_name.canonicalize().to_wire() if chain.cnames else None)
    assert told.alias_ttl == min((alias.ttl for alias in chain.cnames), default=math.inf)
    if addresses or any(kind == "SOA" for _, _, kind, _ in authority):
        assert told.ttl == chain.minimum_ttl
    assert told.referral == ({int(rrset.rdtype) for rrset in reference.authority} == {RdataType.NS})


@given(st.binary(max_size=80), st.integers(0, 3), st.integers(0, 3))
def test_any_bytes_are_a_response_or_a_clear_error(records: bytes, answers: int, authorities: int) -> None:
    try:
        read_response(message(records, answers=answers, authorities=authorities), QUERY)
    except (ValueError, ResolveFailed):
        return


@given(st.binary(max_size=40))
def test_any_bytes_are_another_s_response_or_a_clear_error(wire: bytes) -> None:
    try:
        read_response(QUERY.wire[:2] + wire, Query(QUERY.wire, b"", RdataType.A))
    except (ValueError, ResolveFailed):
        return
