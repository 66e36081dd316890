from __future__ import annotations

import re

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from splicer.edits import RequestFacts
from splicer.routing.value import FACTS, parse_value

FACT = RequestFacts(
    captures={"pod": "p-1", "rest": "/x%0d%0a"},
    host="a.example",
    client="192.0.2.7",
    scheme="https",
    path="/p%20q",
    query="a=b",
    request_id="id-1",
    headers=((b"User-Agent", b"x"), (b"X-A", b"1"), (b"x-a", b"\xe9\t2")),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{{pod}}}", "{p-1}"),
        ("{pod}-{pod}{rest}", "p-1-p-1/x%0d%0a"),
        ("{client} {host} {scheme} {request_id}", "192.0.2.7 a.example https id-1"),
        ("{path}|{query}|{target}", "/p%20q|a=b|/p%20q?a=b"),
        ("{header:user-agent}", "x"),
        ("{header:X-A};{header:None-Such}", "1, é\t2;"),
    ],
)
def test_a_value_is_filled_in(text: str, expected: str) -> None:
    value = parse_value(text)
    assert value.text == text
    assert value.render(FACT) == expected


def test_a_target_without_a_query() -> None:
    for query, expected in ((None, "/p%20q||/p%20q"), ("", "/p%20q||/p%20q?")):
        assert parse_value("{path}|{query}|{target}").render(evolve(FACT, query=query)) == expected


def test_the_names_in_a_value() -> None:
    assert parse_value("{{a}}{pod}{host}{header:X}{pod}").names == {"pod", "host"}


@pytest.mark.parametrize(
    "text", ["{", "}", "{}", "{a b}", "{header:}", "{header:a b}", "{header:a:b}", "{Header:a}", "{1}"]
)
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace itself|is no name"):
        parse_value(text)


ANY = st.text(st.characters(codec="latin-1"), max_size=20) | st.text(max_size=20)


@given(
    parts=st.lists(st.sampled_from([*(f"{{{name}}}" for name in FACTS), "{cap}", "{header:X}", "{{", "a b"])),
    values=st.lists(ANY, min_size=7, max_size=7),
    header=st.binary(max_size=20),
)
def test_no_value_brings_a_line_end_whatever_comes_in(parts: list[str], values: list[str], header: bytes) -> None:
    captures, host, client, scheme, path, query, request_id = values
    facts = RequestFacts({"cap": captures}, host, client, scheme, path, query, request_id, ((b"X", header),))
    rendered = parse_value("".join(parts)).render(facts)
    assert re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", rendered)
