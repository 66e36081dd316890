from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import BadRequest
from splicer.routing.location import parse_location
from tests.routing.test_value import FACT


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("https://{host}{target}", "https://a.example/p%20q?a=b"),
        ("{scheme}://{host}:8443/x", "https://a.example:8443/x"),
        ("https://www.{host}/{pod}#top", "https://www.a.example/p-1#top"),
        ("http://b.example", "http://b.example"),
        ("HTTPS://b.example:80?q={query}", "HTTPS://b.example:80?q=a=b"),
        ("https://[::1]:8080{path}", "https://[::1]:8080/p%20q"),
        ("https://b.example{pod}.evil.example", "https://b.example/p-1.evil.example"),
        ("/new{rest}", "/new/x%0d%0a"),
        ("/{rest}", "/x%0d%0a"),
    ],
)
def test_where_a_redirect_leads(to: str, expected: str) -> None:
    location = parse_location(to)
    assert location.text == to
    assert location.render(FACT) == expected


@pytest.mark.parametrize(
    ("to", "query", "expected"),
    [
        ("/new?{query}", None, "/new"),
        ("/new?{query}", "", "/new?"),
        ("/new?{query}", "a=b", "/new?a=b"),
        ("https://b.example/?{query}", None, "https://b.example/"),
        ("https://b.example?{query}", None, "https://b.example"),
        ("/new?x=1&{query}", None, "/new?x=1&"),
    ],
)
def test_without_a_query_no_question_mark_is_left_over(to: str, query: str | None, expected: str) -> None:
    assert parse_location(to).render(evolve(FACT, query=query)) == expected


def test_its_names() -> None:
    assert parse_location("https://{host}/{pod}").names == {"host", "pod"}


@pytest.mark.parametrize(
    "to", ["", "x", "//b.example/", "{target}", "{rest}", "ftp://b.example/", "https:/b", "{host}/x"]
)
def test_what_begins_no_url(to: str) -> None:
    with pytest.raises(ValueError, match="must begin with"):
        parse_location(to)


@pytest.mark.parametrize(
    "to",
    ["https://", "https:///x", "https://{pod}.b.example/", "https://{target}", "https://pods.{pod}.b.example/",
     "https://a@b.example/", "https://b.example:x/", "https://b .example/", "https://-b/", "{scheme}://{client}/"],
)  # fmt: skip
def test_what_is_no_host(to: str) -> None:
    with pytest.raises(ValueError, match="a host must stand"):
        parse_location(to)


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_what_is_no_port(port: str) -> None:
    with pytest.raises(ValueError, match=f'^port "{port}" is not between 1 and 65535$'):
        parse_location(f"https://{{host}}:{port}/x")


def test_no_header_chooses() -> None:
    with pytest.raises(ValueError, match="no header field"):
        parse_location("/{header:Referer}")


@pytest.mark.parametrize("host", ["", "a%2f.example", "a&b.example", "a,b.example", "a;.example"])
def test_an_odd_host_is_refused(host: str) -> None:
    with pytest.raises(BadRequest, match="no redirect leads to"):
        parse_location("https://{host}/").render(evolve(FACT, host=host))
    assert parse_location("https://b.example/").render(evolve(FACT, host=host)) == "https://b.example/"


IN_A_TARGET = st.text(st.sampled_from("/\\.:@?a%2f-[]"), max_size=12)


@given(
    to=st.sampled_from(["https://b.example{rest}", "https://b.example/{rest}", "https://b.example{query}{rest}",
                        "https://b.example{target}", "https://b.example", "http://b.example?{rest}"]),
    rest=IN_A_TARGET,
    query=IN_A_TARGET,
)  # fmt: skip
def test_no_request_chooses_another_host(to: str, rest: str, query: str) -> None:
    facts = evolve(FACT, captures={"rest": rest}, path=rest, query=query)
    assert urlsplit(parse_location(to).render(facts)).netloc == "b.example"


@given(to=st.sampled_from(["/{rest}", "/{rest}{query}", "/{target}"]), rest=IN_A_TARGET, query=IN_A_TARGET)
def test_a_redirect_within_a_host_stays_there(to: str, rest: str, query: str) -> None:
    facts = evolve(FACT, captures={"rest": rest}, path=rest, query=query)
    rendered = parse_location(to).render(facts)
    assert rendered.startswith("/")
    assert rendered[1:2] not in ("/", "\\")
