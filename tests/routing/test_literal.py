from __future__ import annotations

import pytest
import re2
from hypothesis import assume, example, given
from hypothesis import strategies as st

from splicer.routing.literal import leading_literal, repeated_names


@pytest.mark.parametrize(
    ("regex", "literal"),
    [
        (r"^/ws/pod/(?<pod>[^/]+)(?<rest>/.*)$", "/ws/pod/"),
        (r"^/x\.json$", "/x.json"),
        (r"^/a\d", "/a"),
        (r"^/ab*", "/a"),
        (r"^/ab?", "/a"),
        (r"^/ab{0}", "/a"),
        (r"^/ab+", "/ab"),
        (r"^/a\.?", "/a"),
        (r"^/a(?:b|c)", "/a"),
        (r"^/a[|]b", "/a"),
        (r"^/a\|b", "/a|b"),
        (r"^/a|/b", ""),
        (r"^/a[(]|b", ""),
        (r"^/a[[:alpha:](]|b", ""),
        (r"^/a[]|](|b", "/a"),
        (r"^/a\Q(\E|b", ""),
        (r"^/a(b)|c", ""),
        (r"/a", ""),
        (r"(?i)^/a", ""),
        (r"^(?i)/a", ""),
        (r"^*/a", ""),
        (r"^", ""),
        ("", ""),
    ],
)
def test_the_text_that_every_match_begins_with(regex: str, literal: str) -> None:
    assert leading_literal(regex) == literal


PIECES = ["^", "$", "/", "a", "b", "|", "(", ")", "(?:", "(?i)", "[", "]", "^a", "-", "*", "+", "?", "{0}", "{1,2}"]
PIECES += ["\\", ".", "\\.", "\\d", "\\Q", "\\E", "[:alpha:]", "{", "}", "0", "(?<x>", "\n"]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.text("/ab|().0\n", max_size=6))
@example("^/a[[:alpha:](]|b[[:alpha:])]", "ba")
@example("^a(?i)*", "b")
def test_no_match_without_it(regex: str, path: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(regex, options)
    except re2.error:
        assume(False)
    if compiled.search(path):
        assert path.startswith(leading_literal(regex))


@pytest.mark.parametrize(
    ("regex", "names"),
    [
        ("(?<a>x)(?<b>y)", []),
        ("(?<a>x)(?P<a>y)", ["a"]),
        (r"(?<a>x)\(?<a>y", []),
        (r"(?<a>x)[(?<a>]", []),
        (r"(?<a>x)\Q(?<a>\E", []),
    ],
)
def test_names_given_twice(regex: str, names: list[str]) -> None:
    assert repeated_names(regex) == names
