"""What the pod gets as its path."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.importer.directive import Directive
from splicer.importer.draft import RouteDraft
from splicer.importer.paths import escaped, replace_prefix
from splicer.routing.template import parse_template

_SAYS = Directive("source", 3, "proxy_pass http://x/y/;")


def drafted(**keys: Any) -> RouteDraft:
    route = RouteDraft()
    for key, value in keys.items():
        route.put(key, value)
    return route


@given(st.text(max_size=20), st.dictionaries(st.sampled_from(["rest", "x"]), st.just("captured")))
def test_text_in_a_template_stays_text(text: str, captures: dict[str, str]) -> None:
    template = parse_template(escaped(text))
    assert template.captures == frozenset()
    assert template.render(captures) == text


@pytest.mark.parametrize(
    ("keys", "path", "expected"),
    [
        ({"prefix": "/a/"}, "/a/", {"prefix": "/a/"}),
        ({"path": "/a"}, "/a", {"path": "/a"}),
        ({"prefix": "/a/"}, "/", {"prefix": "/a/", "strip_prefix": True}),
        ({"path": "/a"}, "/b", {"path": "/a", "rewrite": "/b"}),
        ({"prefix": "/a/"}, "/b/", {"regex": "^/a/(?<rest>.*)$", "rewrite": "/b/{rest}"}),
        ({"prefix": "/a.b"}, "/", {"regex": r"^/a\.b(?<rest>.*)$", "rewrite": "/{rest}"}),
        ({"prefix": "/a/"}, "/{x}/", {"regex": "^/a/(?<rest>.*)$", "rewrite": "/{{x}}/{rest}"}),
    ],
)
def test_another_beginning(keys: dict[str, str], path: str, expected: dict[str, Any]) -> None:
    route = drafted(**keys)
    replace_prefix(route, path, _SAYS)
    assert route.as_toml() == expected


_PATHS = st.from_regex(r"/(?:[a-z.{}]{1,4}/)?", fullmatch=True)


@given(_PATHS, _PATHS, st.from_regex(r"[a-z/]{0,6}", fullmatch=True))
def test_what_follows_the_prefix_stays(prefix: str, path: str, rest: str) -> None:
    route = drafted(prefix=prefix)
    replace_prefix(route, path, _SAYS)
    asked, keys = prefix + rest, route.as_toml()
    if "rewrite" in keys:
        found = re.fullmatch(keys["regex"].replace("(?<", "(?P<"), asked)
        assert found is not None
        assert parse_template(keys["rewrite"]).render(found.groupdict()) == path + rest
    elif "strip_prefix" in keys:
        assert path + rest == "/" + asked.removeprefix(prefix)
    else:
        assert path == prefix
