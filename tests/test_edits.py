"""What edits do to fields, and what they leave alone."""

from __future__ import annotations

import pytest
from attrs import evolve

from splicer.edits import FieldEdits, HeaderEdits, same_field
from splicer.routing.value import parse_value
from tests.routing.test_value import FACT


def edits(**entries: str | None) -> HeaderEdits:
    return HeaderEdits(
        tuple((name.encode(), None if text is None else parse_value(text)) for name, text in entries.items())
    )


FIELDS = [(b"A", b"1"), (b"x-team", b"mine"), (b"B", b"2"), (b"X_Team", b"mine"), (b"X-TEAM", b"mine"), (b"a", b"3")]


def test_a_field_is_replaced_added_or_removed() -> None:
    rendered = HeaderEdits(((b"X-Team", parse_value("{pod}")), (b"A", None), (b"New", parse_value("{client}")))).render(
        FACT
    )
    assert rendered.apply(FIELDS) == [(b"B", b"2"), (b"X-Team", b"p-1"), (b"New", b"192.0.2.7")]
    assert rendered.strip(FIELDS) == [(b"B", b"2")]
    assert rendered == FieldEdits(frozenset({b"x-team", b"a", b"new"}), rendered.added)


def test_trailers_have_none_of_the_fields() -> None:
    assert edits(A=None, B="1").strip(tuple(FIELDS[:3])) == ((b"x-team", b"mine"),)
    assert edits(A=None).strip(()) == ()


@pytest.mark.parametrize("text", ["{header:None}", " {header:None}\t{query}"])
def test_a_value_that_comes_out_empty_removes_the_field(text: str) -> None:
    rendered = edits(A=text).render(evolve(FACT, query=None))
    assert rendered.apply(FIELDS) == [field for field in FIELDS if field[0] not in (b"A", b"a")]


def test_outer_spaces_are_not_sent() -> None:
    rendered = edits(B=" {header:X}\t").render(evolve(FACT, headers=((b"x", b"\t a b "),)))
    assert rendered.added == ((b"B", b"a b"),)


@pytest.mark.parametrize(("scheme", "sent"), [("https", [b"max-age=1"]), ("http", [])])
def test_plain_http_gets_no_strict_transport_security(scheme: str, sent: list[bytes]) -> None:
    """RFC 6797 §7.2."""
    rendered = HeaderEdits(((b"strict-Transport-security", parse_value("max-age=1")),))
    fields = rendered.render(evolve(FACT, scheme=scheme)).apply([(b"Strict-Transport-Security", b"the pod's")])
    assert [value for _, value in fields] == sent


def test_the_same_field() -> None:
    assert same_field(b"X_Forwarded-FOR") == b"x-forwarded-for"
