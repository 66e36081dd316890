from __future__ import annotations

import itertools

import pytest
from attrs import evolve

from splicer.config.diff import diff, needs_restart
from splicer.config.load import load

OLD = """
[server]
listen = "127.0.0.1:8080"
[deadlines]
idle = "1h"
[limits]
connections = 20000
[resolver]
nameservers = ["10.0.0.10"]
[resolver.hosts]
a = "127.0.0.1"
[upstreams.pod]
address = "{pod}.svc:80"
allow = ["10.0.0.0/8"]
[upstreams.api]
address = "api:80"
[[routes]]
name = "x"
path = "/x"
respond = { status = 200, body = "ok" }
[[routes]]
name = "y"
prefix = "/y"
upstream = "api"
[[routes]]
name = "z"
regex = '^/(?<pod>[^/]+)$'
upstream = "pod"
fallback = "api"
deadlines = { idle = "1h", connect = "1s" }
"""


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("", "", []),
        ('"127.0.0.1:8080"', '["127.0.0.1:8080", "[::]:80"]',
         ["server.listen 127.0.0.1:8080 → 127.0.0.1:8080, [::]:80"]),
        ('"127.0.0.1:8080"', '{ address = "127.0.0.1:8080", proxy_protocol = ["10.0.0.0/8"], vendor = "aws" }',
         ["server.listen 127.0.0.1:8080 → 127.0.0.1:8080 (proxy_protocol = 10.0.0.0/8, vendor = aws)"]),
        ("[deadlines]", 'workers = "auto"\nadmin = "off"\n[deadlines]',
         ["server.workers 1 → auto", "server.admin 127.0.0.1:9901 → off"]),
        ("[deadlines]", 'metrics = "[::]:1"\ntrusted_proxies = ["10.0.0.0/8"]\n[deadlines]',
         ["server.metrics off → [::]:1", "server.trusted_proxies none → 10.0.0.0/8"]),
        ("20000", '100\nbody_bytes = "unlimited"',
         ["limits.connections 20000 → 100", "limits.body_bytes 10MiB → unlimited"]),
        ('["10.0.0.10"]', "[]\nipv6 = false",
         ["resolver.nameservers 10.0.0.10:53 → none", "resolver.ipv6 true → false"]),
        ('a = "127.0.0.1"', 'a = ["::1", "::2"]', ["resolver.hosts a = 127.0.0.1 → a = ::1, ::2"]),
        ('a = "127.0.0.1"', "", ["resolver.hosts a = 127.0.0.1 → none"]),
        ('allow = ["10.0.0.0/8"]', 'allow = ["10.0.0.0/8"]\nproxy_protocol = "v2"',
         ["upstreams.pod.proxy_protocol none → v2"]),
        ('allow = ["10.0.0.0/8"]', 'balance = "random"',
         ["upstreams.pod.allow 10.0.0.0/8 → any", "upstreams.pod.balance least-tunnels → random"]),
        ('allow = ["10.0.0.0/8"]', 'allow = ["10.0.0.0/8"]\noutlier_detection = {}\nhealth_check = { path = "/h" }',
         ["upstreams.pod.outlier_detection none → 5 in a row (no answer, 502, 503, 504), 30s to 5m, 50 % at most",
          "upstreams.pod.health_check none → GET /h every 10s"]),
        ('"{pod}.svc:80"', '"{pod}.svc:81"', ["upstreams.pod.address {pod}.svc:80 → {pod}.svc:81"]),
        ('"{pod}.svc:80"', '"{pod}.s.ns.svc:http"\ndiscovery = "kubernetes"',
         ["upstreams.pod.address {pod}.svc:80 → {pod}.s.ns.svc:http", "upstreams.pod.discovery dns → kubernetes"]),
        ("[upstreams.api]", '[kubernetes]\napi = "http://127.0.0.1:8001"\n[upstreams.api]',
         ["kubernetes.api in-cluster → http://127.0.0.1:8001"]),
        ("[upstreams.api]", '[upstreams."a b"]\naddress = "n:1"\n[upstreams.api]', ['upstreams: added "a b"']),
        ('name = "y"', 'name = "new"', ['routes: added "new"', 'routes: removed "y"']),
        ('path = "/x"', 'prefix = "/x"\nmethods = ["GET"]\nhosts = ["a", "b"]\nlog = false',
         ['routes "x": pattern path /x → prefix /x', 'routes "x": hosts any → a, b', 'routes "x": methods any → GET',
          'routes "x": log true → false']),
        ("status = 200", "status = 404", ['routes "x": respond 200 "ok" → 404 "ok"']),
        ("status = 200", 'status = 200, content_type = "a/b"', ['routes "x": respond changed']),
        ('respond = { status = 200, body = "ok" }', 'respond = "status"', ['routes "x": respond 200 "ok" → status']),
        ('upstream = "api"', 'upstream = "api"\nstrip_prefix = true\nupgrade = ["websocket"]\nclients = ["10.0.0.1"]',
         ['routes "y": clients any → 10.0.0.1/32', 'routes "y": encoded_slash forward → refuse',
          'routes "y": strip_prefix false → true',
          'routes "y": upgrade none → websocket']),
        ('fallback = "api"', 'fallback = "api"\nfallback_on = [503, 502]\nrewrite = "/{pod}"',
         ['routes "z": rewrite none → /{pod}', 'routes "z": fallback_on 502, 503, 504 → 502, 503']),
        ('fallback = "api"', 'fallback = "api"\nretries = 2', ['routes "z": retries 0 → 2']),
        ('prefix = "/y"', 'prefix = "/y"\nauthorize = { upstream = "api", path = "/a" }',
         ['routes "y": authorize none → api /a']),
        ('upstream = "pod"\nfallback = "api"', 'upstream = "api"',
         ['routes "z": upstream pod → api', 'routes "z": fallback api → none']),
        ('prefix = "/y"', 'prefix = "/y"\nscheme = "https"\nheaders = { X-A = "1" }\nquery = { b = true }',
         ['routes "y": scheme any → https', 'routes "y": headers any → x-a is 1',
          'routes "y": query any → b present']),
        ('prefix = "/y"', 'prefix = "/y"\nclients_deny = ["10.0.0.0/8"]\nupgrade = ["a"]\norigins = ["https://a"]\n'
         "max_tunnels = 9",
         ['routes "y": clients_deny none → 10.0.0.0/8', 'routes "y": encoded_slash forward → refuse',
          'routes "y": upgrade none → a', 'routes "y": origins any → https://a',
          'routes "y": max_tunnels no limit → 9']),
        ('upstream = "api"', 'upstream = { api = 95, other = 5 }\nhash_on = "header:X-A"\n'
         '[upstreams.other]\naddress = "other:80"',
         ['upstreams: added "other"', 'routes "y": upstream api → api = 95, other = 5',
          'routes "y": hash_on chance decides → header:x-a']),
        ('upstream = "pod"', 'upstream = "pod"\nrate_limit = { rate = "1/s" }',
         ['routes "z": rate_limit none → 1/s, burst 1, by client']),
        ("[resolver]", '[log]\nprogress = "off"\n[resolver]', ["log.progress 5m → off"]),
        ('upstream = "pod"', 'upstream = "pod"\nbody_bytes = "unlimited"',
         ['routes "z": body_bytes that of `[limits]` → unlimited']),
        ('upstream = "api"',
         'upstream = "api"\nhost = "a.test"\nresponse_headers = { X-A = "{client}", Server = false }',
         ['routes "y": response_headers none → X-A = {client}, Server = false',
          'routes "y": host the client\'s → a.test']),
        ('respond = { status = 200, body = "ok" }', 'redirect = { to = "/y" }',
         ['routes "x": respond 200 "ok" → none', 'routes "x": redirect none → 302 /y']),
        (', connect = "1s"', "", ['routes "z": deadlines.connect 1s → 3s']),
        # what [deadlines] changes for all, it changes once
        ('idle = "1h"\n[limits]', 'idle = "2h"\n[limits]', ["deadlines.idle 1h → 2h"]),
        ('{ idle = "1h"', '{ idle = "1h30m"', ['routes "z": deadlines.idle 1h → 1h30m']),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_diff(before: str, after: str, changes: list[str]) -> None:
    assert before in OLD
    old, new = load(OLD, environ={}), load(OLD.replace(before, after, 1), environ={})
    assert list(diff(old, new)) == changes


def test_hooks() -> None:
    old = load(OLD + '[hooks.a]\nuse = "a:B"\noptions = { token = "x" }\n[hooks.b]\nuse = "a:B"\n', environ={})
    new = load(OLD + '[hooks.a]\nuse = "a:C"\noptions = { token = "secret" }\n[hooks.c]\nuse = "a:B"\n', environ={})
    assert diff(old, new) == (
        'hooks: added "c"',
        'hooks: removed "b"',
        "hooks.a.use a:B → a:C",
        "hooks.a.options changed",
    )


def test_bodies_of_errors() -> None:
    old = load(OLD + "[[errors]]\nstatus = [502, 503, 504]\nbody = 'a'\n", environ={})
    new = load(
        OLD + "[[errors]]\nstatus = [502]\nbody = 'a'\n[[errors]]\nstatus = [404, 503]\nbody = 'b'\n", environ={}
    )
    assert diff(old, new) == ("errors: added 404", "errors: 503 changed", "errors: removed 504")
    assert diff(new, new) == ()


def test_order() -> None:
    head, *routes = OLD.split("[[routes]]")
    new = load("[[routes]]".join((head, *reversed(routes))), environ={})
    assert diff(load(OLD, environ={}), new) == ("routes: order changed",)


def test_the_log_format_needs_a_restart() -> None:
    old = load(OLD, environ={})
    new = evolve(old, log=evolve(old.log, format="console"))
    assert needs_restart(old, new) == ("log.format",)


def test_needs_restart() -> None:
    old = load(OLD, environ={})
    assert needs_restart(old, load(OLD.replace("20000", "1"), environ={})) == ()
    keys = 'listen = "127.0.0.1:1"\nworkers = 2\nadmin = "off"\nmetrics = "[::]:1"\ntrusted_proxies = ["::1"]'
    new = load(OLD.replace('listen = "127.0.0.1:8080"', keys), environ={})
    assert needs_restart(old, new) == ("server.listen", "server.workers", "server.admin", "server.metrics")
