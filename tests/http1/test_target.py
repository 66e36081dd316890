"""Request targets: forms, and paths that must not be forwarded."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import BadRequest
from splicer.http1.target import check_path, is_authority, parse_target


@pytest.mark.parametrize(
    ("target", "path", "query", "authority"),
    [
        ("/", "/", None, None),
        ("/?", "/", "", None),
        ("/a/b?c=d?e", "/a/b", "c=d?e", None),
        ("//a//b", "//a//b", None, None),
        ("/a?../..\\%00%", "/a", "../..\\%00%", None),
        ("/a%2Fb%20c", "/a%2Fb%20c", None, None),
        ("/.well-known/x", "/.well-known/x", None, None),
        ("/a..b/...", "/a..b/...", None, None),
        ("/%2ehidden", "/%2ehidden", None, None),
        ("/a;v=1/@x,y", "/a;v=1/@x,y", None, None),
        ("http://b.example", "/", None, "b.example"),
        ("http://b.example?q", "/", "q", "b.example"),
        ("HTTPS://b.example:8443/p?q", "/p", "q", "b.example:8443"),
        ("http://[::1]:80/", "/", None, "[::1]:80"),
        ("ws://b.example/p?q", "/p", "q", "b.example"),
        ("WSS://b.example", "/", None, "b.example"),
    ],
)
def test_a_target_is_taken_apart_and_nothing_is_decoded(
    target: str, path: str, query: str | None, authority: str | None
) -> None:
    assert parse_target("GET", target) == (path, query, authority)


def test_options_may_ask_for_the_whole_server() -> None:
    assert parse_target("OPTIONS", "*") == ("*", None, None)
    assert parse_target("OPTIONS", "http://a:1") == ("*", None, "a:1")
    assert parse_target("OPTIONS", "http://a/") == ("/", None, "a")


@pytest.mark.parametrize(
    "target",
    [
        "*",
        "a.example:443",
        "a/b",
        "?q",
        "/a#b",
        "/a?b#c",
        "http://a/#",
        "ftp://a/",
        "wsx://a/",
        "http:/a",
        "http:a",
        "http://",
        "http:///p",
        "http://user@a/",
        "http://user:pw@a/",
        "http://a,b/",
        "http://a:99999/",
        "http://a:b/",
        "http://[::1/",
        "http://[1.2.3.4]/",
        "http://[v1.x]/",
        "http://a\\@b/",
        "http://a/..",
    ],
)
def test_other_forms_are_refused(target: str) -> None:
    with pytest.raises(BadRequest):
        parse_target("GET", target)


@pytest.mark.parametrize(
    "path",
    [
        "/..",
        "/.",
        "/../",
        "/./",
        "/a/../b",
        "/a/./b",
        "/a/..",
        "/%2e%2E/",
        "/.%2e",
        "/%2E",
        "/..%2f",
        "/..%2Fb",
        "/a%2f..",
        "/a%2F%2e%2e%2Fb",
        "/a/..%2f..%2fb",
        "/a\\b",
        "/a%5Cb",
        "/a%5cb",
        "/a%00",
        "/a%0d%0ab",
        "/a%1F",
        "/a%7f",
        "/a%",
        "/a%2",
        "/a%zz",
        "/%u002e",
    ],
)
def test_a_path_that_a_pod_could_read_as_another_is_refused(path: str) -> None:
    with pytest.raises(BadRequest):
        check_path(path)


@given(st.lists(st.sampled_from(["/", "%2f", "%2F", ".", "%2e", "%2E", "a", "%41", "%c3"])).map("".join))
def test_a_path_is_refused_exactly_when_decoding_makes_a_dot_segment(rest: str) -> None:
    path = "/" + rest
    segments = re.split("/", unquote(path, encoding="latin-1"))
    if "." in segments or ".." in segments:
        with pytest.raises(BadRequest, match="dot segment"):
            check_path(path)
    else:
        check_path(path)


@given(
    st.lists(st.sampled_from(["/", "a", "%", "%4", "4", "%41", "%5C", "5c", "%7F", "%1f", "%Zz", "\\"])).map("".join)
)
def test_a_path_is_refused_for_what_it_decodes_to_or_cannot(rest: str) -> None:
    path = "/" + rest
    escaped = re.fullmatch("(?:[^%]|%[0-9A-Fa-f]{2})*", path)
    if escaped is None or re.search(r"[\x00-\x1f\x7f\\]", unquote(path, encoding="latin-1")):
        with pytest.raises(BadRequest):
            check_path(path)
    else:
        check_path(path)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a.example",
        "A-1.b_c:80",
        "1.2.3.4:8080",
        "[::1]",
        "[2001:db8::1]:443",
        "[::ffff:1.2.3.4]",
        "a:",
        "a%41",
        "~",
    ],
)
def test_hosts(text: str) -> None:
    assert is_authority(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "a b",
        " a",
        "a,b",
        "a, a",
        "u@a",
        "u:p@a",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "a%4",
        "a:80:80",
        "a:65536",
        "a:000080",
        "a:8o",
        "a:-1",
        "::1",
        "[::1",
        "[]",
        "[::g]",
        "[::1]a",
        "[fe80::1%25eth0]",
        "[1.2.3.4]",
        "h\xf6st",
        'a"b',
        "<a>",
        "\xb2",
        "a:\xb2",
    ],
)
def test_no_hosts(text: str) -> None:
    assert not is_authority(text)


@given(st.text(st.characters(codec="latin-1")))
def test_any_text_is_a_host_or_not(text: str) -> None:
    is_authority(text)
