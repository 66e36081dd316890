"""The `authorize` table: what it may have, and what is a fault beside the route's other keys."""

from __future__ import annotations

import pytest

from splicer.authorization import Authorize
from splicer.config.load import load
from splicer.errors import ConfigError
from splicer.model import Route, Upstream

UPSTREAMS = """
[upstreams.pod]
address = "{pod}.svc:8000"
[upstreams.any]
address = "any.svc:8000"
[upstreams.router]
address = "router.svc:8000"
"""


def document(keys: str, match: str = 'prefix = "/"') -> str:
    return f'{UPSTREAMS}[[routes]]\nname = "r"\n{match}\n{keys}\n'


def route(keys: str) -> Route:
    (compiled,) = load(document(keys), environ={"HEADER": "X-Env"}).routes
    return compiled


def rule(keys: str) -> Authorize[Upstream]:
    found = route(keys).authorize
    assert found is not None
    return found


def faults(keys: str, match: str = 'prefix = "/"') -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(document(keys, match), environ={})
    return [fault.removeprefix('routing.toml: routes 1 "r": ') for fault in refused.value.faults]


def test_the_least() -> None:
    least = rule('upstream = "any"\nauthorize = { upstream = "router", path = "/check" }')
    assert (least.upstream.name, least.path) == ("router", "/check")
    assert (least.captures, least.headers, least.send, least.on_failure) == ((), (), None, "refuse")
    assert route('upstream = "any"').authorize is None
    assert route('upstream = "any"').deadlines.authorize == 2.0


def test_every_key() -> None:
    full = route("""
        upstream = "pod"
        fallback = "any"
        deadlines = { authorize = "500ms" }

            [routes.authorize]
            upstream = "router"
            path = "/api/v1/place?edge={{1}}"
            captures = { pod = "X-Voice-Pod", zone = "${HEADER}" }
            headers = ["X-Call-ID", "Authorization"]
            send = []
            on_failure = "fallback"
    """)
    assert full.deadlines.authorize == 0.5
    assert full.authorize is not None
    assert full.authorize == Authorize(
        full.authorize.upstream,
        "/api/v1/place?edge={1}",
        (("pod", "X-Voice-Pod"), ("zone", "X-Env")),
        ("X-Call-ID", "Authorization"),
        (),
        "fallback",
    )


def asking(keys: str = "", *, more: str = "") -> str:
    return f'upstream = "any"\n{more}\nauthorize = {{ upstream = "router", path = "/p", {keys} }}'


NEVER = "is never sent: the question has no body, and upgrades nothing"
OWN = "can't come from an answer: the edge, or the client's connection, determines it"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('upstream = "any"\nauthorize = "router"', ['authorize: must be a table, not "router"']),
        ('upstream = "any"\nauthorize = {}', ["authorize.upstream: is missing", "authorize.path: is missing"]),
        ('respond = "status"\nauthorize = { upstream = "router", path = "/p" }',
         ["authorize: goes only with upstream"]),
        ('upstream = "any"\nauthorize = { upstream = "ruter", path = "/p" }',
         ['authorize.upstream: unknown upstream "ruter"; did you mean "router"?']),
        ('upstream = "any"\nauthorize = { upstream = "pod", path = "/p" }',
         ["authorize.upstream: {pod}.svc is not one address; an authorizer is an upstream without captures"]),
        ('upstream = "any"\nauthorize = { upstream = "router", path = "p" }',
         ['authorize.path: must start with "/"']),
        ('upstream = "any"\nauthorize = { upstream = "router", path = "/{pod}" }',
         ["authorize.path: is fixed; the authorizer gets the client's target as X-Original-URI"]),
        ('upstream = "any"\nauthorize = { upstream = "router", path = "/../x" }',
         ["authorize.path: has a dot segment, which no pod should get"]),
        (asking('pathh = "/"'), ['authorize.pathh: unknown key; did you mean "path"?']),
        (asking('captures = { "a-b" = "X" }'), ['authorize.captures.a-b: "a-b" is no capture\'s name']),
        (asking('captures = { a = "X:" }'), ['authorize.captures.a: "X:" is no header name (RFC 9110 §5.1)']),
        (asking('captures = ["a"]'), ["authorize.captures: must be a table, not a list"]),
        (asking("headers = []"), ["authorize.headers: must not be empty: leave the key out for none"]),
        (asking('headers = ["a b"]'), ['authorize.headers: "a b" is no header name (RFC 9110 §5.1)']),
        *((asking(f'headers = ["{name}"]'), [f'authorize.headers: "{name}" {OWN}']) for name in
          ("Host", "content-length", "Content-Type", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Expect",
           "Via", "Sec-WebSocket-Key", "X-Forwarded-For", "x_forwarded_host", "X-Real-IP", "X-Request-ID",
           "X-Splicer-A", "Forwarded", "X-Original-URI", "X-Original-Method")),
        *((asking(f'send = ["{name}"]'), [f'authorize.send: "{name}" {NEVER}'])
          for name in ("Content-Type", "upgrade", "Sec-WebSocket-Protocol", "Expect", "If-None-Match", "Range")),
        (asking('send = ["X-Real-IP"]'),
         ['authorize.send: "X-Real-IP" always goes along, as the edge knows it; leave it out']),
        (asking('on_failure = "alow"'),
         ['authorize.on_failure: must be one of "refuse", "fallback", "allow", not "alow"; did you mean "allow"?']),
        (asking('on_failure = "fallback"'),
         ['authorize.on_failure: "fallback" needs fallback, the upstream that then takes the request']),
        (asking('on_failure = "allow", captures = { a = "X" }'),
         ['authorize.on_failure: can\'t be "allow" beside captures, which no answer would give; '
          'write "fallback" or "refuse"']),
        ('upstream = "pod"\nauthorize = { upstream = "router", path = "/p" }',
         ["upstream: unknown capture {pod} in {pod}.svc; a prefix has no captures, a regex has"]),
        ('upstream = "pod"\nauthorize = { upstream = "router", path = "/p", captures = { pdo = "X" } }',
         ["upstream: unknown capture {pod} in {pod}.svc; did you mean {pdo}?"]),
        ('upstream = "pod"\nauthorize = { upstream = "router", path = "/p", captures = { a = "X", b = "Y" } }',
         ["upstream: unknown capture {pod} in {pod}.svc; the prefix and authorize.captures give {a}, {b}"]),
        ('upstream = "pod"\nauthorize = { upstream = "router", path = 1, captures = { pod = "X" } }',
         ["authorize.path: must be a string, not 1"]),
        ('upstream = "pod"\nfallback = "pod"\n'
         'authorize = { upstream = "router", path = "/p", captures = { pod = "X" }, on_failure = "fallback" }',
         ["fallback: {pod} is not known when the authorizer has failed, and that leads here; "
          "name an upstream without it"]),
        ('upstream = "pod"\nfallback = "any"\nrewrite = "/{pod}"\n'
         'authorize = { upstream = "router", path = "/p", captures = { pod = "X" }, on_failure = "fallback" }',
         ["rewrite: {pod} is not known when the authorizer has failed, and that leads here; "
          'write authorize.on_failure = "refuse"']),
        (asking("send = []", more='deadlines = { authorize = "0s" }'),
         ['deadlines.authorize: "0s" is no time at all; write "never" to switch it off']),
    ],
)  # fmt: skip
def test_faults(keys: str, expected: list[str]) -> None:
    assert faults(keys) == expected


def test_a_name_that_the_path_gives_already() -> None:
    match = "regex = '^/(?<pod>[^/]+)'"
    keys = 'upstream = "pod"\nauthorize = { upstream = "router", path = "/p", captures = { pod = "X" } }'
    assert faults(keys, match) == ["authorize.captures.pod: comes from the regex already; choose another name"]


def test_captures_of_the_answer_may_be_used_wherever_they_are_known() -> None:
    keys = 'captures = { pod = "X" }'
    placed = 'upstream = "pod"\nrewrite = "/{pod}/x"\nfallback = "pod"\n'
    assert rule(f'{placed}authorize = {{ upstream = "router", path = "/p", {keys} }}').captures == (("pod", "X"),)
