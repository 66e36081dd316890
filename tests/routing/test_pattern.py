from __future__ import annotations

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from splicer.routing.pattern import compile_pattern, leading_text
from tests.routing.make import Kind


@pytest.mark.parametrize(
    ("kind", "text", "path", "captures"),
    [
        ("path", "/health", "/health", {}),
        ("path", "/health", "/health/", None),
        ("path", "/health", "/HEALTH", None),
        ("path", "/a%2fb", "/a%2Fb", {}),
        ("path", "/%61%2e%c3", "/a.%C3", {}),
        ("prefix", "//%61//", "/a/", {}),
        ("prefix", "/api/", "/api/", {}),
        ("prefix", "/api/", "/api/v1", {}),
        ("prefix", "/api/", "/api", None),
        ("regex", "^/(?<pod>[^/]+)/(?P<rest>.*)$", "/a%2Fb/c/d", {"pod": (1, 6), "rest": (7, 10)}),
        ("regex", "pod", "/x/pod/y", {}),
        ("regex", "^pod", "/x/pod/y", None),
        ("regex", "^/(?<a>x)?(?<b>y)?$", "/y", {"a": (-1, -1), "b": (1, 2)}),
        ("regex", "^/(x)(?<a>y)", "/xy", {"a": (2, 3)}),
    ],
)
def test_match(kind: Kind, text: str, path: str, captures: dict[str, tuple[int, int]] | None) -> None:
    found = compile_pattern(kind, text).match(path)
    assert (found if found is None else dict(found)) == captures


def test_text_and_captures() -> None:
    pattern = compile_pattern("regex", "^/(?<pod>x)(?<rest>.*)")
    assert pattern.text == "regex ^/(?<pod>x)(?<rest>.*)"
    assert pattern.captures == {"pod", "rest"}
    assert compile_pattern("path", "/a").text == "path /a"
    assert compile_pattern("prefix", "/a").text == "prefix /a"
    assert compile_pattern("path", "/a").captures == compile_pattern("prefix", "/a").captures == frozenset()


@pytest.mark.parametrize(
    ("regex", "fault"),
    [
        ("(", r"^missing \): \($"),
        ("(?=x)", r"^invalid perl operator: \(\?=$"),
        (r"(x)\1", r"^invalid escape sequence: \\1$"),
        ("(?<a>x)(?<a>y)", "^two groups are named a$"),
    ],
)
def test_a_bad_regex_is_told_in_words(regex: str, fault: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=fault):
        compile_pattern("regex", regex)
    assert capfd.readouterr() == ("", "")


# A match asks RE2 itself, without the module around it.
@given(
    st.sampled_from(["a", "^/(?<a>x?)(?<b>[^/]+)", "(?<a>b)|(?<b>/)", "^/(?<a>x)*y$", "(?<a>)"]),
    st.text("/xyab", max_size=6),
)
def test_a_match_has_the_spans_that_a_search_finds(regex: str, path: str) -> None:
    pattern = compile_pattern("regex", regex)
    compiled = re2.compile(regex)
    found = compiled.search(path)
    assert pattern.match(path) == (found and {name: found.span(group) for name, group in compiled.groupindex.items()})


def test_equality_is_kind_and_text() -> None:
    kinds: tuple[Kind, ...] = ("path", "prefix", "regex")
    patterns = [compile_pattern(kind, "/a") for kind in kinds]
    re2.purge()  # else the compiled expression itself would be the same
    assert patterns == [compile_pattern(kind, "/a") for kind in kinds]
    assert len(set(patterns)) == 3
    assert compile_pattern("regex", "/a") != compile_pattern("regex", "/b")


@given(st.sampled_from(["path", "prefix", "regex"]), st.text("/ab", max_size=4), st.text("/ab", max_size=6))
def test_every_match_starts_with_the_leading_text(kind: Kind, text: str, path: str) -> None:
    pattern = compile_pattern(kind, f"^{text}" if kind == "regex" else text)
    if pattern.match(path) is not None:
        assert path.startswith(leading_text(pattern))
