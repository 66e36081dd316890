"""Samples of expressions are matched by them."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.comparison.samples import samples
from tests.kit.laws import examples


@pytest.mark.parametrize(
    ("regex", "some"),
    [
        ("^/a$", {"/a"}),
        ("^/(?<pod>voice-agent-[0-9]+)/(?<rest>.*)$", {"/voice-agent-0/a", "/voice-agent-0/"}),
        ("^/(red|blue)/x?$", {"/red/x", "/blue/x", "/red/"}),
        ("a|b|c", {"a", "b", "c"}),
        (r"\.(png|jpe?g)$", {".png", ".jpg", ".jpeg"}),
        ("(?i)^/A(?:b|c){2}", {"/Abb", "/Acc"}),
        ("[^a-z/]{3}", {"000"}),
        (r"[]\]a]\d\pL\x41[[:digit:]]", {"a0aA0"}),
        ("x{2,}?y*?", {"xxy", "xx"}),
    ],
)
def test_samples(regex: str, some: set[str]) -> None:
    found = samples(regex)
    assert some <= set(found)
    assert all(re2.search(regex, text) for text in found)


PIECES = st.sampled_from(["a", "/", ".", "[0-9]", "[^/]", "\\d", "\\.", "x?", "y*", "z+", "w{2}", "^", "$"])
EXPRESSIONS = st.recursive(
    st.lists(PIECES, max_size=4).map("".join),
    lambda inner: (
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})") | st.lists(inner, max_size=3).map("".join)
    ),
    max_leaves=6,
)


@settings(max_examples=examples(50))
@given(EXPRESSIONS)
def test_there_is_one_and_nearly_all_match(regex: str) -> None:
    found = samples(regex)
    assert found
    if "^" not in regex and "$" not in regex:
        assert all(re2.search(regex, text) for text in found)


@pytest.mark.parametrize("regex", ["(" * 100 + ")" * 100, "[", "(?", "\\"])
def test_what_it_cannot_read_has_none(regex: str) -> None:
    assert samples(regex) == []
