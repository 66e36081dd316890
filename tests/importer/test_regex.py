from __future__ import annotations

import re

import re2
from hypothesis import example, given
from hypothesis import strategies as st

from splicer.importer.regex import literal

_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@given(_TEXTS, _TEXTS)
@example("a{2}", "aa")
@example(r".^$*+?{}[]\|()", "x")
def test_an_expression_for_a_text_is_one_for_nothing_else(text: str, other: str) -> None:
    for engine in (re, re2):
        expression = engine.compile(literal(text))
        assert expression.fullmatch(text)
        assert bool(expression.fullmatch(other)) == (other == text)


@given(st.from_regex(r"[A-Za-z0-9/_~%&=:;@!, -]*", fullmatch=True))
def test_a_plain_path_stays_as_it_is(text: str) -> None:
    assert literal(text) == text
