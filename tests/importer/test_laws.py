"""Laws: every directive is told exactly once, whatever the source; what is made loads, or nothing is."""

from __future__ import annotations

import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splicer.config.load import load
from splicer.importer.directive import ImportFault
from splicer.importer.draft import Draft, RouteDraft
from splicer.importer.nginx.source import parse_files, walk
from splicer.importer.run import Options, run_import
from splicer.importer.toml import value_text, written
from splicer.importer.yaml_source import documents
from tests.kit.laws import examples

WORD = st.from_regex(r"[a-z0-9./$_-]{1,12}", fullmatch=True)
NAMES = st.sampled_from(
    [
        "proxy_pass", "return", "allow", "deny", "set", "proxy_set_header", "add_header", "error_page", "rewrite",
        "root",
        "proxy_read_timeout", "proxy_connect_timeout", "gzip", "access_log", "auth_request", "stub_status", "internal",
        "try_files", "limit_req", "client_max_body_size", "unheard_of", "proxy_intercept_errors", "auth_basic",
    ]
)  # fmt: skip
LINES = st.tuples(NAMES, st.lists(WORD, min_size=1, max_size=3)).map(lambda line: f"{line[0]} {' '.join(line[1])};")
PLACES = st.sampled_from(["/", "= /a", "/a/", "^~ /a", "~ ^/(?<pod>[a-z]+)/(.*)$", "~* x", "@b", "/b/c"])
LOCATIONS = st.tuples(PLACES, st.lists(LINES, max_size=5)).map(
    lambda each: f"location {each[0]} {{ {' '.join(each[1])} }}"
)
SERVERS = st.lists(LOCATIONS | LINES, max_size=5).map(lambda inner: "server {\nlisten 80;\n" + "\n".join(inner) + "\n}")
SETTINGS = settings(
    max_examples=examples(15), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def told_and_parsed(kind: str, text: str) -> tuple[Counter[Any], Counter[Any], str] | None:
    """What the report says and what the source has; None where the source is refused."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "source"
        path.write_text(text)
        try:
            imported = run_import(kind, [str(path)], Options())
        except ImportFault:
            return None
        told = Counter((entry.directive.line, entry.directive.text) for entry in imported.entries)
        if kind == "nginx":
            parsed = Counter((each.line, each.text) for each in walk(parse_files([str(path)], {})))
        else:
            parsed = Counter((leaf.line, leaf.text) for each in documents(str(path)) for leaf in each.leaves())
        return told, parsed, imported.text


def holds(kind: str, text: str) -> None:
    found = told_and_parsed(kind, text)
    if found is not None:
        told, parsed, made = found
        assert told == parsed
        assert load(made, environ={}).routes


@SETTINGS
@given(st.lists(SERVERS, min_size=1, max_size=3))
def test_nginx(servers: list[str]) -> None:
    holds("nginx", "events {}\nhttp {\n" + "\n".join(servers) + "\n}\n")


SCALARS = st.sampled_from(["/", "/a/", "app", "gone", "5s", "1", 80, True, "", "x-a", "^/(a)(.*)$", "a.example", "*"])
KEYS = st.sampled_from(
    [
        "match", "prefix", "path", "safe_regex", "regex", "route", "cluster", "timeout", "redirect", "headers", "name",
        "uri", "exact", "rewrite", "destination", "host", "port", "number", "retries", "attempts", "directResponse",
        "direct_response", "status", "body", "weighted_clusters", "clusters", "weight", "hash_policy", "prefix_rewrite",
        "regex_rewrite", "pattern", "substitution", "retry_policy", "num_retries", "fault", "queryParams", "method",
    ]
)  # fmt: skip
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@SETTINGS
@given(st.lists(st.dictionaries(KEYS, TREES, max_size=4), min_size=1, max_size=3))
def test_envoy(routes: list[dict[str, Any]]) -> None:
    from tests.importer.test_envoy import config

    holds("envoy", config(*routes))


@SETTINGS
@given(st.lists(st.dictionaries(KEYS, TREES, max_size=4), min_size=1, max_size=3))
def test_istio(rules: list[dict[str, Any]]) -> None:
    from tests.importer.test_istio import service

    holds("istio", yaml.safe_dump(service(*rules), sort_keys=False))


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**31), 2**31) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    def escaped(each: Any) -> Any:
        match each:
            case str():
                return each.replace("${", "$${")
            case list():
                return [escaped(item) for item in each]
            case dict():
                return {key: escaped(item) for key, item in each.items()}
        return each

    assert tomllib.loads(f"a = {value_text(value)}") == {"a": escaped(value)}


def test_long_tables_stand_on_lines_of_their_own() -> None:
    route = RouteDraft(name="a b", origin="x:1", comments=["c" * 200])
    route.put(("response_headers", "X-A"), "v" * 120)
    route.put("prefix", "/")
    draft = Draft("t")
    draft.routes.append(route)
    assert tomllib.loads(written(draft))["routes"] == [
        {"name": "a b", "prefix": "/", "response_headers": {"X-A": "v" * 120}}
    ]
