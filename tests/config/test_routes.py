from __future__ import annotations

from ipaddress import ip_network

import pytest

from splicer.config.load import load
from splicer.errors import ConfigError
from splicer.model import Deadlines, Respond, Route, StatusPage
from splicer.rates import Rate, RateLimit

UPSTREAMS = """
[deadlines]
connect = "4s"
[upstreams.pod]
address = "{pod}.svc:8000"
[upstreams.any]
address = "any.svc:8000"
[upstreams.broken]
address = "x"
"""


def route(keys: str) -> Route:
    (compiled,) = load(f"{UPSTREAMS.partition('[upstreams.broken]')[0]}[[routes]]\n{keys}", environ={}).routes
    return compiled


def faults(keys: str) -> list[str]:
    """What is wrong with one route, named or not; the broken upstream's own fault is left out."""
    with pytest.raises(ConfigError) as refused:
        load(f"{UPSTREAMS}[[routes]]\n{keys}", environ={})
    own, *rest = refused.value.faults
    assert "upstreams.broken.address" in own
    return [fault.removeprefix("routing.toml: routes 1").removeprefix(' "r"').removeprefix(": ") for fault in rest]


def test_the_defaults() -> None:
    least = route('name = "r"\nprefix = "/"\nupstream = "any"')
    assert (least.index, least.name, least.pattern.text) == (1, "r", "prefix /")
    assert (least.hosts, least.methods, least.clients, least.log) == ((), (), None, True)
    assert (least.scheme, least.headers, least.query, least.clients_deny, least.origins) == (None, (), (), (), ())
    assert least.encoded_slash == "forward"
    assert least.fallback is None
    assert (sorted(least.fallback_on), least.retries) == ([502, 503, 504], 0)
    assert (least.split, least.max_tunnels) == (None, None)
    assert (least.upgrade, least.upgrade_only, least.rewrite, least.strip_prefix) == ((), False, None, None)
    assert least.body_bytes is None
    assert least.rate_limit is None
    assert (least.redirect, least.edits) == (None, None)
    assert least.deadlines == Deadlines(connect=4.0)


def test_every_key() -> None:
    full = route(
        """
        name = "r"
        regex = '^/ws/(?<pod>[^/]+)(?<rest>/.*)$'
        hosts = ["Example.com.", "*.Example.com", "[::1]", "10.0.0.1"]
        methods = ["GET", "M-SEARCH"]
        scheme = "https"
        headers = { X-A = "1" }
        query = { b = true }
        clients = ["10.0.0.0/8", "::1"]
        clients_deny = ["10.1.0.0/16"]
        log = false
        upstream = "pod"
        fallback = "any"
        fallback_on = [502, 599]
        retries = 5
        upgrade = ["WebSocket", "tunnel/1.0"]
        upgrade_only = true
        max_tunnels = 500
        origins = ["HTTPS://A.example", "https://*.b.example:8443", "http://[::1]:80000"]
        rewrite = "{rest}?pod={pod}"
        body_bytes = "50MiB"
        rate_limit = { rate = "5/s", burst = 9, by = "route" }
        deadlines = { idle = "2h", lifetime = "never" }
        """
    )
    assert full.pattern.captures == {"pod", "rest"}
    assert full.hosts == ("example.com", "*.example.com", "[::1]", "10.0.0.1")
    assert full.methods == ("GET", "M-SEARCH")
    assert full.clients == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert full.clients_deny == (ip_network("10.1.0.0/16"),)
    assert (full.scheme, [test.name for test in (*full.headers, *full.query)]) == ("https", ["x-a", "b"])
    assert full.origins == ("https://a.example", "https://*.b.example:8443", "http://[::1]:80000")
    assert full.max_tunnels == 500
    assert full.log is False
    assert full.encoded_slash == "refuse"
    assert full.upstream is not None
    assert full.fallback is not None
    assert (full.upstream.text, full.fallback.text) == ("{pod}.svc:8000", "any.svc:8000")
    assert (sorted(full.fallback_on), full.retries) == ([502, 599], 5)
    assert (full.upgrade, full.upgrade_only) == (("websocket", "tunnel/1.0"), True)
    assert full.rewrite is not None
    assert full.rewrite.text == "{rest}?pod={pod}"
    assert full.body_bytes == 50 * 1024 * 1024
    assert full.rate_limit == RateLimit(Rate(5, "s"), 9, "route")
    assert full.deadlines == Deadlines(connect=4.0, idle=7200.0)


def test_strip_prefix() -> None:
    assert route('name = "r"\nprefix = "/api/"\nupstream = "any"\nstrip_prefix = true').strip_prefix == "/api/"
    assert route('name = "r"\npath = "/api"\nupstream = "any"\nstrip_prefix = false').strip_prefix is None


@pytest.mark.parametrize(
    ("keys", "encoded_slash"),
    [
        ("", "forward"),
        ('encoded_slash = "refuse"', "refuse"),
        ('clients = ["10.0.0.0/8"]', "refuse"),
        ('clients_deny = ["10.0.0.0/8"]', "refuse"),
        ('clients = ["10.0.0.0/8"]\nencoded_slash = "forward"', "forward"),
    ],
)
@pytest.mark.parametrize("answer", ['upstream = "any"', 'respond = "status"'])
def test_encoded_slash(keys: str, encoded_slash: str, answer: str) -> None:
    assert route(f'name = "r"\nprefix = "/"\n{answer}\n{keys}').encoded_slash == encoded_slash


def test_patterns_are_in_normal_form() -> None:
    assert route('name = "r"\nprefix = "/%61%2f/"\nupstream = "any"\nstrip_prefix = true').strip_prefix == "/a%2F/"
    assert route('name = "r"\npath = "/%7e%c3"\nupstream = "any"').pattern.text == "path /~%C3"


def test_respond() -> None:
    assert route('name = "r"\npath = "/s"\nrespond = "status"').respond is StatusPage.STUB_STATUS
    assert route('name = "r"\npath = "/s"\nrespond = { status = 204 }').respond == Respond(204)


P = 'name = "r"\nprefix = "/"\nupstream = "any"\n'
U = P + 'upgrade = ["websocket"]\n'
X = "name = 'r'\nregex = '^/(?<pod>[^/]+)(?<rest>.*)'\nupstream = 'any'\n"
R = 'name = "r"\npath = "/"\nrespond = "status"\n'
NAME = "a name is one line of printable characters, and not empty"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        # which route
        ('prefix = "/"\nupstream = "any"', ["name: is missing"]),
        (P.replace('"r"', '""'), [f"name: {NAME}"]),
        (P.replace('"r"', "1"), ["name: must be a string, not 1"]),
        # what it matches
        ('name = "r"\nupstream = "any"', ["has none of path, prefix, regex; a route has exactly one of them"]),
        (P + 'path = "/"', ["prefix: can't stand beside path; a route has exactly one of path, prefix, regex"]),
        (P + "regex = 3", ["regex: must be a string, not 3",
                           "regex: can't stand beside prefix; a route has exactly one of path, prefix, regex"]),
        (P.replace('"/"', '"x"'), ['prefix: must start with "/"; write "/x"']),
        (P.replace('"/"', '""'), ['prefix: must start with "/"; write "/"']),
        (R.replace('"/"', '"/a?b"'),
         ['path: "/a?b" has a query, which no path has; the query takes no part in matching']),
        (R.replace('"/"', '"/a b"'), ['path: " " stands in no request as it is; write %20']),
        (R.replace('"/"', '"/é"'), ['path: "é" stands in no request as it is; write %C3%A9']),
        (R.replace('"/"', '"/a///b"'),
         ['path: "/a///b" has an empty segment, and slashes are merged first; write "/a/b"']),
        (P + 'encoded_slash = "no"', ['encoded_slash: must be one of "refuse", "forward", not "no"']),
        (P.replace('"/"', '"/a%2fb"') + 'clients = ["::1"]',
         ['prefix: has an encoded slash, which the route refuses; write encoded_slash = "forward"']),
        (R.replace('"/"', '"/a%2Fb"') + 'encoded_slash = "refuse"',
         ['path: has an encoded slash, which the route refuses; write encoded_slash = "forward"']),
        (R.replace('"/"', '"/a%2Fb"') + 'clients = ["::1"]\nencoded_slash = 1',
         ["encoded_slash: must be a string, not 1"]),
        (R.replace('"/"', '"/%zz"'), ['path: "%" stands in no request as it is; write %25']),
        ("name = 'r'\nregex = '('\nupstream = 'any'", ["regex: missing ): ("]),
        (P + "hosts = []", ["hosts: must not be empty: leave the key out for any host"]),
        (P + 'hosts = "a"', ['hosts: must be a list; write ["a"]']),
        (P + 'hosts = ["a:80"]', ['hosts: "a:80" has a port, and hosts are compared without; write "a"']),
        (P + 'hosts = ["*", "http://a", "a.*", "*a", "::1", "*.10.0.0.1"]',
         [f'hosts: "{host}" is no host; write for example "example.com" or "*.example.com"'
          for host in ("*", "http://a", "a.*", "*a", "::1", "*.10.0.0.1")]),
        (P + "methods = []", ["methods: must not be empty: leave the key out for any method"]),
        (P + 'methods = ["get", "G T"]',
         ['methods: "get" is not in upper case; write "GET"', 'methods: "G T" is no method']),
        (P + 'clients = ["10.0.0.1/8"]',
         ['clients: "10.0.0.1/8" is an address within a network; the network is "10.0.0.0/8"']),
        (P + "clients = []",
         ["clients: must not be empty: nobody could use the route; leave the key out for any client"]),
        (P + "clients_deny = []", ["clients_deny: must not be empty: leave the key out to deny nobody"]),
        (P + 'log = "no"', ['log: must be true or false, not "no"']),
        # where it leads
        ('name = "r"\nprefix = "/"', ["has none of respond, redirect, upstream; a route has exactly one of them"]),
        (P + 'respond = "status"',
         ["upstream: can't stand beside respond; a route has exactly one of respond, redirect, upstream"]),
        (P + 'respnd = "status"',
         ['respnd: unknown key; did you mean "respond"?',
          "upstream: can't stand beside respond; a route has exactly one of respond, redirect, upstream"]),
        ('name = "r"\nprefix = "/"\nupstrem = "any"', ['upstrem: unknown key; did you mean "upstream"?']),
        (P.replace("any", "anny"), ['upstream: unknown upstream "anny"; did you mean "any"?']),
        (P.replace("any", "anny") + 'upstreem = "any"',
         ['upstreem: unknown key; did you mean "upstream"?', 'upstream: unknown upstream "anny"; did you mean "any"?']),
        (P.replace('"any"', "1"),
         ["upstream: must be a string, or a table such as { stable = 95, canary = 5 }, not 1"]),
        (P + 'fallback = "zzz"', ['fallback: unknown upstream "zzz"']),
        (P + 'fallback = "broken"', []),
        (P + "fallback_on = [502]", ["fallback_on: needs fallback or retries"]),
        (P + "fallback_on = [502]\nretries = 0", ["fallback_on: needs fallback or retries"]),
        (P + "fallback_on = [502]\nretries = 6", ["retries: must be between 0 and 5, not 6"]),
        (P + "fallback_on = [502]\nretrys = 1", ['retrys: unknown key; did you mean "retries"?']),
        (P + "retries = '2'", ['retries: must be an integer, not "2"']),
        (P + 'fallback = "any"\nfallback_on = [404, 600, true]',
         ["fallback_on: 404 is the client's fault: 4xx never falls back",
          "fallback_on: must be between 500 and 599, not 600",
          "fallback_on: must be an integer, not true"]),
        (P + "upgrade = []", ["upgrade: must not be empty: leave the key out to tunnel nothing"]),
        (P + 'upgrade = ["web socket"]', ['upgrade: "web socket" is no protocol such as "websocket"']),
        (P + "upgrade_only = true", ['upgrade_only: needs upgrade; write upgrade = ["websocket"]']),
        (P + "upgrade_only = true\nupgrade = 1", ["upgrade: must be a list, not 1"]),
        (P + 'body_bytes = "lots"',
         ['body_bytes: "lots" is no size such as 32768, "32KiB" or "10MiB"; or write "unlimited"']),
        (P + 'origins = ["https://a"]', ["origins: needs upgrade"]),
        (P + "max_tunnels = 1", ["max_tunnels: needs upgrade"]),
        (U + "max_tunnels = 0", ["max_tunnels: must be 1 or more, not 0"]),
        (U + 'max_tunnels = "all"', ['max_tunnels: must be an integer, not "all"']),
        (U + "origins = []", ["origins: must not be empty: no browser could call; leave the key out for any origin"]),
        (U + 'origins = ["a.example", "null", "https://a b", "https://*", "*"]',
         [f'origins: "{word}" is no origin; write for example "https://app.example" or "https://*.app.example"'
          for word in ("a.example", "null", "https://a b", "https://*", "*")]),
        (U + 'origins = ["https://A.example:444/x"]',
         ['origins: "https://A.example:444/x" has a path, which browsers don\'t send; write "https://a.example:444"']),
        (U + 'origins = ["http://a:80", "https://a:443", "http://a:443"]',
         [f'origins: "{word}:{port}" has the scheme\'s own port, which browsers leave out; write "{word}"'
          for word, port in (("http://a", 80), ("https://a", 443))]),
        (P + 'deadlines = "1h"', ['deadlines: must be a table, not "1h"']),
        (P + "deadlines = { idel = '1h', idle = 1 }",
         ['deadlines.idle: a duration needs a unit; write "1s"', 'deadlines.idel: unknown key; did you mean "idle"?']),
        (R + "strip_prefix = false\nupgrade_only = false\nrewrite = '/'\nupgrade = ['a']\nfallback = 'any'\n"
         "fallback_on = []\nretries = 1\nbody_bytes = 1\ndeadlines = {}\norigins = ['https://a']\nmax_tunnels = 1",
         [f"{key}: goes only with upstream" for key in
          ("rewrite", "strip_prefix", "upgrade", "upgrade_only", "origins", "max_tunnels", "fallback", "fallback_on",
           "retries", "body_bytes", "deadlines")]),
        # captures and rewrites
        (X + "rewrite = '/{pdo}'", ["rewrite: unknown capture {pdo}; did you mean {pod}?"]),
        (X + "rewrite = '/{zz}'", ["rewrite: unknown capture {zz}; the regex captures {pod}, {rest}"]),
        (X.replace("pod", "pdo").replace("'any'", "'pod'"),
         ["upstream: unknown capture {pod} in {pod}.svc; did you mean {pdo}?"]),
        (P + 'fallback = "pod"',
         ["fallback: unknown capture {pod} in {pod}.svc; a prefix has no captures, a regex has"]),
        ("name = 'r'\nregex = '/x'\nupstream = 'pod'",
         ["upstream: unknown capture {pod} in {pod}.svc; the regex has no named group; write (?<name>...)"]),
        (X + "path = '/'\nrewrite = '/{pod}'",
         ["regex: can't stand beside path; a route has exactly one of path, prefix, regex"]),
        ("name = 'r'\nregex = '/(x'\nupstream = 'pod'", ["regex: missing ): /(x"]),
        (X + "rewrite = '/{pod'", ['rewrite: "{" is not closed; write "{{" for the brace itself']),
        (X + "rewrite = 'x{rest}'", ['rewrite: must start with "/" or a capture']),
        (X + "rewrite = ''", ['rewrite: must start with "/" or a capture']),
        (X + "rewrite = '/a b'", ['rewrite: " " stands in no request as it is; write %20']),
        (X + 'rewrite = "/a\\r\\nX: y"', ['rewrite: "\\r" stands in no request as it is; write %0D']),
        (X + "rewrite = '/a#b'", ['rewrite: "#" stands in no request as it is; write %23']),
        (X + "rewrite = '/{pod}/../x'", ["rewrite: has a dot segment, which no pod should get"]),
        (R.replace('"status"', "true").replace("respond", 'upstream = "any"\nstrip_prefix'),
         ["strip_prefix: goes only with prefix"]),
        (P + "strip_prefix = true\nrewrite = '/'",
         ["strip_prefix: can't stand beside rewrite, which gives the whole path"]),
    ],
)  # fmt: skip
def test_faults(keys: str, expected: list[str]) -> None:
    assert faults(keys) == expected


def test_the_example_of_the_issue() -> None:
    routes = '[[routes]]\nname = "a"\npath = "/a"\nrespond = "status"\n' * 2
    text = routes.replace(
        '"a"', '"b"', 1
    ) + f"[upstreams.any]\naddress = 'a:1'\n[[routes]]\n{X}rewrite = '{{pdo}}'".replace("'r'", '"twilio-callback"')
    with pytest.raises(ConfigError) as refused:
        load(text, environ={})
    assert refused.value.faults == (
        'routing.toml: routes 3 "twilio-callback": rewrite: unknown capture {pdo}; did you mean {pod}?',
    )
