from __future__ import annotations

import pytest

from splicer.config.lint import warnings
from splicer.config.load import load

UPSTREAM = '[upstreams.api]\naddress = "api.test:80"\n'


def told(text: str) -> tuple[str, ...]:
    return warnings(load(text, environ={}))


def route(name: str, prefix: str, keys: str = 'upstream = "api"') -> str:
    return f'[[routes]]\nname = "{name}"\nprefix = "{prefix}"\n{keys}\n'


def test_nothing_odd() -> None:
    assert told(UPSTREAM + route("a", "/")) == ()


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ('upgrade = ["websocket"]\nrate_limit = { rate = "1/s" }', True),
        ('upgrade = ["websocket"]\nrate_limit = { rate = "1/s", by = "route" }', False),
        ('rate_limit = { rate = "1/s" }', False),
    ],
)
def test_a_rate_for_a_provider_of_calls(keys: str, warned: bool) -> None:
    said = told(UPSTREAM + route("calls", "/", f'upstream = "api"\n{keys}'))
    assert [line.partition(": a provider")[0] for line in said] == [
        'routes 1 "calls": rate_limit.by: "client"'
    ] * warned


def test_a_route_that_can_never_match() -> None:
    assert told(UPSTREAM + route("all", "/") + route("api", "/api/")) == (
        'routes 2 "api": can never match: routes 1 "all" takes all that it would',
    )


def test_a_route_that_only_its_conditions_tell_from_an_earlier_one() -> None:
    canary = 'upstream = "api"\nheaders = { X-Canary = "1" }'
    assert told(UPSTREAM + route("canary", "/", canary) + route("all", "/")) == ()
    assert told(UPSTREAM + route("all", "/") + route("canary", "/", canary)) == (
        'routes 2 "canary": can never match: routes 1 "all" takes all that it would',
    )


def test_a_scheme_that_no_request_has() -> None:
    secure = 'upstream = "api"\nscheme = "https"'
    assert told(UPSTREAM + route("a", "/", secure)) == (
        'routes 1 "a": scheme: "https" is no request\'s: only one of server.trusted_proxies is believed when '
        "X-Forwarded-Proto says so; name the proxies in front",
    )
    assert told('[server]\ntrusted_proxies = ["10.0.0.0/8"]\n' + UPSTREAM + route("a", "/", secure)) == ()
    assert told(UPSTREAM + route("a", "/", secure.replace("https", "http"))) == ()
    introduced = '[server]\nlisten = { address = "127.0.0.1:80", proxy_protocol = "required" }\n'
    assert told(introduced + UPSTREAM + route("a", "/", secure)) == ()


@pytest.mark.parametrize(
    ("keys", "warned"),
    [("", True), ('upgrade = ["websocket"]', True), ('upgrade = ["websocket"]\nupgrade_only = true', False)],
)
def test_pods_that_get_a_header_get_a_connection_for_each_plain_request(keys: str, warned: bool) -> None:
    text = f'{UPSTREAM}proxy_protocol = "v2"\n' + route("a", "/", f'upstream = "api"\n{keys}')
    assert told(text) == warned * (
        'upstreams.api.proxy_protocol: a connection is one client\'s, so each plain request of routes 1 "a" has one of '
        "its own",
    )


def test_a_pattern_for_what_no_path_has_once_it_is_in_normal_form() -> None:
    def regex(text: str) -> tuple[str, ...]:
        return told(f"{UPSTREAM}[[routes]]\nname = 'a'\nregex = '{text}'\nupstream = 'api'\n")

    odd = 'routes 1 "a": regex: "{}" is in no path that it looks at; write "{}"'
    assert regex("^//a%2f%61/+%2F/?%C3") == (odd.format("//", "/"), odd.format("%2f", "%2F"), odd.format("%61", "a"))
    assert regex("^/a//?b//*%2[fF]%2F") == ()
    assert regex("(?i)^/a%2f") == ()


def test_a_rule_for_half_of_what_a_pod_takes_for_the_same() -> None:
    closed = 'clients = ["10.0.0.0/8"]\nupstream = "api"'
    assert told(UPSTREAM + route("a", "/%40a/%20", closed)) == (
        'routes 1 "a": prefix: does not match "/@a/%20", the same to most pods; write that',
    )
    assert told(UPSTREAM + route("a", "/@a/%20%25", closed)) == told(UPSTREAM + route("a", "/%40a/")) == ()


def test_a_deadline_that_can_never_run_out_is_told_where_it_is_written() -> None:
    text = '[deadlines]\nattempts = "2s"\nhandshake = "never"\nresolve = "2s"\n' + UPSTREAM + route("a", "/")
    assert told(text) == ("deadlines.connect: 3s can never run out: deadlines.attempts ends all attempts after 2s",)
    own = 'upstream = "api"\ndeadlines = { handshake = "20s", idle = "1m" }'
    assert told(UPSTREAM + route("a", "/", own)) == (
        'routes 1 "a": deadlines.handshake: 20s can never run out: deadlines.attempts ends all attempts after 15s',
    )


def test_retries_for_which_there_is_no_time() -> None:
    def keys(retries: int, attempts: str) -> str:
        return f'upstream = "api"\nretries = {retries}\ndeadlines = {{ attempts = "{attempts}", handshake = "1s" }}'

    assert told(UPSTREAM + route("a", "/", keys(4, "14s"))) == (
        'routes 1 "a": retries: 4 of them and the first attempt may take 15s to connect, '
        "and deadlines.attempts ends all after 14s; lower deadlines.connect",
    )
    for retries, attempts in ((4, "15s"), (4, "never"), (0, "3s")):
        assert told(UPSTREAM + route("a", "/", keys(retries, attempts))) == ()


def test_an_upstream_that_no_route_uses() -> None:
    other = '[upstreams.other]\naddress = "b.test:80"\n'
    assert told(UPSTREAM + other + route("a", "/")) == ("upstreams.other: no route uses it",)
    for key in ('fallback = "other"', 'authorize = { upstream = "other", path = "/" }'):
        assert told(UPSTREAM + other + route("a", "/", f'upstream = "api"\n{key}')) == ()
    assert told(UPSTREAM + other + route("a", "/", "upstream = { api = 1, other = 0 }")) == ()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            'metrics = "127.0.0.1:0"',
            ("server.metrics: 127.0.0.1:0: port 0 takes any free one, which no scraper knows",),
        ),
        ('metrics = "0.0.0.0:9902"', ()),
        ('admin = "127.0.0.1:0"', ()),
    ],
)
def test_metrics_that_no_scraper_finds(keys: str, expected: tuple[str, ...]) -> None:
    assert told(f"[server]\n{keys}\n" + UPSTREAM + route("a", "/")) == expected


@pytest.mark.parametrize(
    ("key", "written", "remedy"),
    [
        ("prefix", "/*", 'write prefix = "/"'),
        ("prefix", "/api/**", 'write prefix = "/api/"'),
        ("path", "/api/*", 'write prefix = "/api/"'),
        ("path", "/a/*/b", "write a regex, in which [^/]+ is one segment"),
    ],
)
def test_a_star_outside_a_regex(key: str, written: str, remedy: str) -> None:
    text = f'{UPSTREAM}[[routes]]\nname = "a"\n{key} = "{written}"\nupstream = "api"\n'
    assert told(text) == (f'routes 1 "a": {key}: in "{written}" a "*" stands for itself alone; {remedy}',)


def upstream(address: str, *lines: str) -> tuple[str, ...]:
    """The warnings of an upstream, with a route that has all captures."""
    table = "\n".join((f'[upstreams.x]\naddress = "{address}"', *lines))
    return told(f"{table}\n[[routes]]\nname = 'a'\nregex = '^/(?<pod>[a-z]+)/(?<zone>[a-z]+)'\nupstream = 'x'\n")


ALLOW = 'allow = ["10.0.0.0/8"]'


def test_a_host_of_one_label() -> None:
    assert upstream("router:80") == (
        'upstreams.x.address: "router" is asked for as it stands, without a search list; '
        "write the full name, such as router.NAMESPACE.svc.cluster.local, or name it in [resolver.hosts]",
    )
    assert upstream("router:80", "[resolver.hosts]", 'Router = "10.0.0.1"') == ()
    assert upstream("localhost:80") == upstream("router.:80") == upstream("[fd00::1]:80") == ()


@pytest.mark.parametrize("host", ["{pod}.com", "{pod}.local", "{pod}.{zone}.net", "x-{pod}.co.uk", "{pod}.com.au."])
def test_a_capture_in_front_of_what_is_nobodys_own(host: str) -> None:
    domain = host.rpartition("}.")[2]
    assert upstream(f"{host}:80", ALLOW) == (
        f'upstreams.x.address: names below "{domain}" are anybody\'s, and the URL chooses among them; '
        'put a domain of your own behind the capture, such as "{pod}.voice-agent.svc.cluster.local"',
    )


@pytest.mark.parametrize("host", ["{pod}.example.com", "{pod}.a.co.uk", "{pod}.svc.cluster.local", "{pod}.pods.test"])
def test_a_capture_in_front_of_a_domain(host: str) -> None:
    assert upstream(f"{host}:80", ALLOW) == ()


def test_captures_without_networks() -> None:
    assert upstream("{pod}.pods.test:80") == (
        "upstreams.x.allow: is missing: the URL chooses the name, and whatever address that has is dialled; "
        'write the networks of your pods, such as allow = ["10.0.0.0/8"]',
    )


def test_a_byte_order_mark() -> None:
    text = "\ufeff" + UPSTREAM + route("a", "/")
    assert warnings(load(text, environ={}), text) == (
        "begins with a byte-order mark (BOM), which is skipped; save it as UTF-8 without one",
    )
    assert warnings(load(text, environ={}), text[1:]) == ()
