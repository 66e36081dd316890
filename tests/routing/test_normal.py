"""All spellings of a path are one, and the way back to the one that came is exact."""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from splicer.errors import BadRequest
from splicer.routing.normal import cut_out, decoded_form, normal_form
from tests.routing.make import spelt

UNITS = ["/", "a", "Z", "0", ".", "~", ";", "@", "%2F", "%25", "%C3", "%20", "%3F", "%40"]
NORMAL = st.lists(st.sampled_from(UNITS)).map(lambda units: re.sub("/+", "/", "/" + "".join(units)))
ANY = st.lists(st.sampled_from([*UNITS, "%2f", "%61", "%7e", "%c3", "%3b", "//", "%5F"])).map(
    lambda units: "/" + "".join(units)
)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/internal/x", "/internal/x"),
        ("/%69nternal/x", "/internal/x"),
        ("//internal///x//", "/internal/x/"),
        ("/internal%2fx", "/internal%2Fx"),
        ("/%2569nternal", "/%2569nternal"),
        ("/%7e%5F%2D%2e%30%5a", "/~_-.0Z"),
        ("/%c3%a4%20%3b%40", "/%C3%A4%20%3B%40"),
        ("/a;b=c,d@e", "/a;b=c,d@e"),
        ("*", "*"),
    ],
)
def test_the_normal_form(path: str, normal: str) -> None:
    assert normal_form(path) == normal


@pytest.mark.parametrize(
    ("normal", "decoded"),
    [
        ("/a%2Fb", "/a/b"),
        ("/%2F%2Fa/%2Fb", "/a/b"),
        ("/%40%3B%7C%22", '/@;|"'),
        ("/%25%3F%23%20%C3", "/%25%3F%23%20%C3"),
    ],
)
def test_the_decoded_form(normal: str, decoded: str) -> None:
    assert decoded_form(normal) == decoded


@given(NORMAL.flatmap(lambda path: st.tuples(st.just(path), spelt(path))))
def test_every_spelling_has_one_normal_form(paths: tuple[str, str]) -> None:
    normal, path = paths
    assert normal_form(path) == normal


def test_every_byte_is_decoded_exactly_where_it_is_unreserved() -> None:
    for byte in range(256):
        for escape in (f"%{byte:02x}", f"%{byte:02X}"):
            plain = quote(bytes([byte]), safe="")  # leaves the unreserved alone (RFC 3986 §2.3)
            assert normal_form(escape) == plain


@given(ANY)
def test_it_means_the_same_and_stays_as_it_is(path: str) -> None:
    normal = normal_form(path)
    assert unquote(normal, "latin-1") == unquote(re.sub("/+", "/", path), "latin-1")
    assert normal_form(normal) == normal
    assert normal_form(decoded_form(normal)) == decoded_form(normal)


@given(ANY, st.lists(st.integers(0, 60), max_size=4))
@example("/%2f", [2])
@example("/%61%61", [1, 2])
@example("//a//b", [1, 2, 3])
def test_what_lies_between_places_comes_out_as_it_came(path: str, places: list[int]) -> None:
    normal = normal_form(path)
    borders = [0, *sorted(place for place in places if place <= len(normal)), len(normal)]
    spans = {str(number): (start, end) for number, (start, end) in enumerate(pairwise(borders))}
    inside = {place for escape in re.finditer("%..", normal) for place in (escape.start() + 1, escape.start() + 2)}
    if inside & set(borders):
        with pytest.raises(BadRequest, match="inside an encoded byte"):
            cut_out(path, spans)
        return
    slices = cut_out(path, spans)
    assert "".join(slices.values()) == path
    for name, (start, end) in spans.items():
        assert normal_form(slices[name]) == normal[start:end]


def test_what_took_no_part_is_empty() -> None:
    assert cut_out("/%61", {"a": (-1, -1)}) == cut_out("/a", {"a": (-1, -1)}) == {"a": ""}
