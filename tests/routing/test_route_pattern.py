from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.routing.pattern import compile_pattern
from splicer.routing.route_pattern import route_pattern


@pytest.mark.parametrize(
    ("kind", "text", "pattern"),
    [
        ("path", "/health", "/health"),
        ("prefix", "/api/", "/api/*"),
        ("prefix", "/", "/*"),
        ("regex", "^/ws/pod/(?<pod>[^/]+)(?<rest>/.*)$", "/ws/pod/{pod}{rest}"),
        ("regex", "^/ws/pod/(?P<pod>[^/]+)/x", "/ws/pod/{pod}/x*"),
        ("regex", r"^/a\.b/(?<x>(?:a|b(c))[)(]\)+)\-$", "/a.b/{x}-"),
        ("regex", "^/a$", "/a"),
        ("regex", "^", "*"),
        ("regex", "/a/(?<x>.*)$", None),
        ("regex", "^/a|/b$", None),
        ("regex", "^/a/[0-9]+$", None),
        ("regex", "^/a/(?<x>b)?$", None),
        ("regex", "^/ab*$", None),
        ("regex", "^/a/(b)$", None),
        ("regex", r"^/\d$", None),
        ("regex", "(?i)^/a$", None),
        ("regex", "^/a.$", None),
        ("regex", "", None),
    ],
)
def test_patterns(kind: str, text: str, pattern: str | None) -> None:
    assert route_pattern(compile_pattern(kind, text)) == pattern  # type: ignore[arg-type]  # of the three kinds


@given(st.text(r"^$/ab()[]?<>P|*+{}.\-", max_size=12))
def test_any_regex_has_a_pattern_or_none(text: str) -> None:
    try:
        compiled = compile_pattern("regex", "^" + text)
    except ValueError:
        return
    pattern = route_pattern(compiled)
    if pattern is not None and "{" not in pattern and "*" not in pattern:
        assert compiled.match(pattern) is not None, "what is all literal matches itself"
