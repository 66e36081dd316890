"""`splicer explain`: the same answer as the edge's own, with the reasons."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.config.load import load
from splicer.explain import Explanation, explain

CONFIG = load(
    """
[deadlines]
idle = "2h"
[upstreams.pod]
address = "{pod}.pods.test:8000"
[upstreams.zoned]
address = "{pod}.{zone}.pods.test:8000"
[upstreams.any]
address = "pods.test:8001"
max_tunnels = 40
max_requests = 200
[upstreams.found]
address = "agent.voice.svc:8001"
discovery = "kubernetes"
slow_start = "90s"
[[routes]]
name = "health"
path = "/health"
respond = { status = 200, body = "fine\\n" }
[[routes]]
name = "status"
path = "/status"
respond = "status"
clients = ["10.0.0.0/8"]
[[routes]]
name = "admin"
prefix = "/admin/"
hosts = ["admin.test"]
methods = ["GET"]
upstream = "any"
[[routes]]
name = "call"
regex = '^/ws/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upgrade_only = true
upstream = "pod"
rewrite = "{rest}"
fallback = "any"
deadlines = { connect = "1s" }
[[routes]]
name = "retried"
prefix = "/retried/"
upstream = "any"
retries = 2
fallback_on = [503]
[[routes]]
name = "placed"
regex = '^/placed/(?<zone>[^/]+)/'
upstream = "zoned"
rewrite = "/{pod}/x"
authorize = { upstream = "any", path = "/place", captures = { pod = "X-Pod" } }
host = "{pod}.app.test"
[[routes]]
name = "found"
prefix = "/found/"
upstream = "found"
[[routes]]
name = "edited"
regex = '^/t/(?<tenant>[^/]+)'
upstream = "any"
host = "{tenant}.app.test"
request_headers = { X-Tenant = "{tenant}", Cookie = false }
response_headers = { X-Edge = "{host}" }
[[routes]]
name = "moved"
prefix = "/old/"
hosts = ["a.test"]
redirect = { to = "https://{host}/new{target}", status = 308 }
""",
    environ={},
)


def asked(target: str, *headers: str, method: str = "GET") -> tuple[Explanation, str]:
    explanation = explain(CONFIG, method, target, headers)
    return explanation, "\n".join(explanation.lines)


def test_edits_are_explained() -> None:
    explanation, text = asked("/t/acme/x")
    assert explanation.found
    assert "host       acme.app.test" in text
    assert "request_headers X-Tenant = {tenant}, Cookie = false" in text
    assert "response_headers X-Edge = {host}" in text
    explanation, text = asked("/t/a@b/x")
    assert not explanation.found
    assert "400: the route's host would be 'a@b.app.test'" in text


def test_a_redirect_is_explained() -> None:
    explanation, text = asked("/old/x?y", "Host: A.test:80")
    assert explanation.found
    assert "redirect   308 https://a.test/new/old/x?y" in text


def test_a_call_is_explained() -> None:
    explanation, text = asked("/ws/voice-3/a%20b?x=1")
    assert explanation.found
    assert explanation.lines[:2] == ("GET /ws/voice-3/a%20b?x=1", "  Host: localhost")
    for part in (
        "1 health: path /health does not match",
        "3 admin: prefix /admin/ does not match",
        "route      4 call (regex ^/ws/",
        "captures   pod = voice-3, rest = /a%20b",
        "upstream   pod",
        "target     voice-3.pods.test:8000",
        "path       /a%20b?x=1",
        "fallback   any, pods.test:8001 (unreachable, or 502 503 504)",
        "upgrade    websocket only",
        "connect 1s",
        "idle 2h",
        "lifetime never",
    ):
        assert part in text


def test_an_own_answer_is_explained() -> None:
    assert "respond    200 'fine\\n'" in asked("/health")[1]
    text = asked("/status")[1]
    assert "respond    the stub_status page" in text
    assert "clients    10.0.0.0/8 (403 for others)" in text


def test_limits_at_endpoints_are_explained() -> None:
    limits = "\nmax_tunnels 40 at each endpoint of any\nmax_requests 200 at each endpoint of any\n"
    for target in ("/ws/voice-3/a", "/retried/x"):
        assert limits in asked(target)[1]
    assert "max_" not in asked("/placed/asia/x")[1]
    slow = "slow_start 1m30s: pods of found that become ready get fewer calls at first\n"
    assert slow in asked("/found/x")[1]


def test_it_names_the_source_of_endpoints() -> None:
    assert "discovery  kubernetes: voice/agent, port 8001\n" in asked("/found/x")[1]


def test_retries_are_explained() -> None:
    _, text = asked("/retried/x")
    assert "\nretries    2, each at another endpoint (unreachable, or 503)\nfallback   none\n" in text
    assert "retries" not in asked("/ws/voice-3/a")[1].partition("route ")[2]


def test_an_authorizer_is_explained() -> None:
    explanation, text = asked("/placed/eu/")
    assert explanation.found
    for line in (
        "authorize  GET /place of any, pods.test:8001, {pod} from X-Pod (on failure: refuse)",
        "upstream   zoned",
        "target     {pod}.eu.pods.test:8000",
        "path       /{pod}/x",
        "host       {pod}.app.test",
    ):
        assert f"\n{line}\n" in text
    assert "authorize 2s" in text
    assert asked("/placed/e.u/")[0].lines[-1] == "404: {zone} is no DNS label: 'e.u'"


def test_the_host_counts() -> None:
    explanation, text = asked("/admin/x")
    assert not explanation.found
    assert "3 admin: host localhost is not among admin.test" in text
    assert text.endswith("404: no route for /admin/x")
    explanation, text = asked("/admin/x", "hOST: admin.test:8080", "X: y")
    assert explanation.found
    assert "  X: y" in text
    assert "fallback   none" in text


def test_every_key_of_the_route_is_told_unless_it_is_as_by_default() -> None:
    _, text = asked("/admin/x", "Host: admin.test")
    assert "\nhosts      admin.test\nmethods    GET\nencoded_slash forward\nupstream   any\n" in text
    assert "\nencoded_slash refuse\nrespond" in asked("/status")[1]
    _, text = asked("/health")
    assert "\nlog" not in text
    assert "\nhosts" not in text


def test_the_method_counts() -> None:
    explanation, text = asked("/admin/x", "Host: admin.test", method="DELETE")
    assert not explanation.found
    assert text.endswith("405: allowed: GET, HEAD")


def test_a_path_is_told_in_the_form_that_selects_its_route() -> None:
    explanation, text = asked("//%77s/voice-3/a%20b%2f")
    assert explanation.lines[3] == "  matched as /ws/voice-3/a%20b%2F"
    assert "captures   pod = voice-3, rest = /a%20b%2f" in text
    assert "path       /a%20b%2f" in text
    assert "matched as" not in asked("/ws/voice-3/a%20b")[1]


def test_a_path_that_could_be_read_as_one_of_a_guarded_route() -> None:
    explanation, _ = asked("/%2fstatus")
    assert not explanation.found
    assert explanation.lines[-1] == '400: decoded, the path would belong to route 2 "status"'


def test_a_pod_that_is_none_is_told_with_the_route_that_wants_it() -> None:
    explanation, text = asked("/ws/10.0.0.1:80%3f/x")
    assert not explanation.found
    assert "route      4 call" in text
    assert "404: {pod} is no DNS label" in explanation.lines[-1]


@pytest.mark.parametrize(
    ("target", "headers"),
    [("/a b", ()), ("no-path", ()), ("/../x", ()), ("/x\r\nEvil: 1", ()), ("/ä", ()), ("/x", ("no colon",)), ("", ())],
)
def test_what_is_no_request_is_one_line(target: str, headers: tuple[str, ...]) -> None:
    explanation, _ = asked(target, *headers)
    assert not explanation.found
    assert explanation.lines[-1].startswith("400: ")


@pytest.mark.parametrize(
    ("method", "target", "headers", "fault"),
    [
        ("GET /health HTTP/1.1\r\nX:", "/x", (), "400: line break in the method"),
        ("GET", "/health HTTP/1.1\r\nHost: admin.test\r\nX: y", (), "400: line break in the target"),
        ("GET", "/health", ("X: y\r\nHost: admin.test",), "400: line break in a header"),
        ("GET", "/health", ("Host: a\nX: y",), "400: line break in a header"),
        ("GET", "/health", ("X: y\r",), "400: line break in a header"),
        ("GET", "/health", ("",), "400: field line without a colon"),
        ("GET", "/health", (" X: y",), "400: obsolete line folding in the head"),
        ("GET", "/health", ("X: \0",), "400: NUL in the head"),
        ("GET", "/health", ("Host: a", "host: b"), "400: 2 Host fields"),
        ("GET /health", "HTTP/1.1", (), "400: malformed request line"),
        ("\ud800", "/health", (), "400: malformed request line"),
        ("GET", "/health\udcff", (), "400: request target is not visible ASCII"),
        ("", "/health", (), "400: malformed request line"),
        ("CONNECT", "/health", (), "405: allowed: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("GET", "/" + "a" * 40000, (), "414: request line over 8192 bytes"),
        ("GET", "/health", ("X: " + "a" * 40000,), "431: request head over 32768 bytes"),
    ],
)
def test_no_part_brings_another_along(method: str, target: str, headers: tuple[str, ...], fault: str) -> None:
    explanation, _ = asked(target, *headers, method=method)
    assert not explanation.found
    assert explanation.lines[-1] == fault
    assert all(line.isprintable() for line in explanation.lines)


def test_a_header_value_may_be_any_text() -> None:
    explanation, text = asked("/health", "X: é\udcff\u2028")
    assert explanation.found
    assert "  X: é\\udcff\\u2028" in text


def test_a_regex_of_several_lines_is_one() -> None:
    config = load('[[routes]]\nname = \'a\'\nregex = """^/\n(?<a>.)"""\nrespond = \'status\'\n', environ={})
    assert "  1 a: regex ^/\\n(?<a>.) does not match" in explain(config, "GET", "/x", []).lines


PIECES = [
    "GET",
    "/ws/a/",
    "/health",
    " ",
    ":",
    "Host:",
    "http://a",
    "?",
    "*",
    "..",
    "%",
    "\r\n",
    "\0",
    "\ud800",
    "\xe9",
]
TEXTS = st.text(st.characters(exclude_categories=())) | st.lists(st.sampled_from(PIECES), max_size=5).map("".join)


@settings(deadline=None)
@given(TEXTS | st.sampled_from(["GET", "OPTIONS"]), TEXTS, st.lists(TEXTS | TEXTS.map("Host: {}".format), max_size=3))
def test_any_text_is_explained_or_refused_in_lines(method: str, target: str, headers: list[str]) -> None:
    explanation = explain(CONFIG, method, target, headers)
    assert all(line.isprintable() for line in explanation.lines)
    assert explanation.found or explanation.lines[-1][:5] in {"400: ", "404: ", "405: ", "431: "}
    if any(mark in text for text in (method, target, *headers) for mark in "\r\n"):
        assert explanation.lines[-1].startswith("400: line break in ")


CONDITIONS = """
[[routes]]
name = "canary"
prefix = "/"
headers = { X-Canary = "1" }
query = { v = { prefix = "2" } }
respond = { status = 200 }
[[routes]]
name = "secure"
prefix = "/"
scheme = "https"
clients_deny = ["10.0.0.0/8"]
respond = { status = 200 }
"""


@pytest.mark.parametrize(
    ("server", "target", "headers", "told"),
    [
        ("", "/?v=2", [], '  1 canary: header x-canary is absent; it must be "1"'),
        ("", "/?v=1", ["X-CANARY: 1"], '  1 canary: query v is "1"; it must begin with "2"'),
        ("", "/?v=2", ["X-Canary: 1"], "headers    x-canary is 1"),
        ("", "/?v=2", ["X-Canary: 1"], "query      v prefix 2"),
        ("", "/", ["X-Forwarded-Proto: https"], "  2 secure: scheme is http, not https"),
        ("", "/", [], "  matched with scheme http: X-Forwarded-Proto is not believed without server.trusted_proxies"),
        ('[server]\ntrusted_proxies = ["10.0.0.0/8"]', "/", [], "  2 secure: scheme is http, not https"),
        ('[server]\ntrusted_proxies = ["10.0.0.0/8"]', "/", ["X-Forwarded-Proto: https"],
         "  matched with scheme https, as from one of server.trusted_proxies"),
        ('[server]\ntrusted_proxies = ["10.0.0.0/8"]', "/", ["X-Forwarded-Proto: https"], "scheme     https"),
        ('[server]\ntrusted_proxies = ["10.0.0.0/8"]', "/", ["X-Forwarded-Proto: https"], "clients_deny 10.0.0.0/8"),
    ],
)  # fmt: skip
def test_conditions_are_told(server: str, target: str, headers: list[str], told: str) -> None:
    explanation = explain(load(server + CONDITIONS, environ={}), "GET", target, headers)
    assert told in explanation.lines


def test_the_scheme_is_told_only_where_a_route_asks_for_it() -> None:
    assert not any("scheme" in line for line in asked("/health", "X-Forwarded-Proto: https")[0].lines)


SPLIT = """
[upstreams]
stable = { address = "stable.test:80" }
canary = { address = "canary.test:81" }
[[routes]]
name = "a"
regex = '^/(?<account>[^/]*)'
upstream = { stable = 200, canary = 1 }
"""


@pytest.mark.parametrize(
    ("key", "headers", "told"),
    [
        ("", (), ""),
        ("header:X-A", (), "hash_on    header:x-a: absent, so chance decides"),
        ("header:X-A", ("X-A: 1",), "hash_on    header:x-a: stable for this request"),
        ("capture:account", (), "hash_on    capture:account: stable for this request"),
        ("client", (), "hash_on    client: one of them for each address"),
    ],
)
def test_a_split_is_told(key: str, headers: tuple[str, ...], told: str) -> None:
    hash_on = f'hash_on = "{key}"\n' if key else ""
    lines = explain(load(SPLIT + hash_on, environ={}), "GET", "/1", headers).lines
    assert "upstream   stable 99.5 %, canary 0.498 %" in lines
    assert [line for line in lines if "hash_on" in line] == ([told] if told else [])
    assert {"target     stable.test:80 (stable)", "target     canary.test:81 (canary)"} <= set(lines)


def test_bodies_of_the_file_are_told() -> None:
    text = '[[routes]]\nname = "a"\npath = "/a"\nrespond = "status"\n[[errors]]\nstatus = [404, 503]\nbody = "x"\n'
    config, told = load(text, environ={}), "a body of [[errors]], text/plain; charset=utf-8"
    assert explain(config, "GET", "/a", []).lines[-1] == f"errors     404 503: {told}"
    assert explain(config, "GET", "/b", []).lines[-1] == f"404: no route for /b (with {told})"
