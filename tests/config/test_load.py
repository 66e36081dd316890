from __future__ import annotations

import math
from collections.abc import Mapping
from ipaddress import ip_network

import pytest

from splicer.config.addresses import ListenAddress
from splicer.config.listener import Listener
from splicer.config.load import load
from splicer.config.schema import Config, KubernetesSettings, Limits, LogSettings, ResolverSettings, ServerSettings
from splicer.errors import ConfigError
from splicer.ipc.route_board import MOST_ROUTES
from splicer.model import Deadlines

ROUTE = '[[routes]]\nname = "a"\npath = "/a"\nrespond = { status = 200 }\n'


def faults(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong, without the file's name; `ROUTE` is added if there is none."""
    text = text if "routes" in text else text + ROUTE
    try:
        load(text, name="F", environ=environ or {})
    except ConfigError as error:
        return [fault.removeprefix("F: ") for fault in error.faults]
    return []


def test_the_defaults() -> None:
    config = load(ROUTE, environ={})
    assert config == Config(
        ServerSettings(),
        Deadlines(),
        Limits(),
        LogSettings(),
        ResolverSettings(),
        KubernetesSettings(),
        {},
        config.routes,
    )
    assert config.server.listen == (Listener(ListenAddress("0.0.0.0", 8080)),)
    assert str(config.server.admin) == "127.0.0.1:9901"
    assert config.server.metrics is None
    assert config.limits.body_bytes == 10 * 1024 * 1024
    assert config.log.progress == 300
    assert config.routes[0].deadlines == Deadlines()


def test_every_key_of_the_sections() -> None:
    config = load(
        """
        [server]
        listen = ["127.0.0.1:0", { address = "[::]:80", proxy_protocol = ["10.0.0.0/8"], vendor = "gcp" }]
        workers = "auto"
        admin = "off"
        metrics = "0.0.0.0:9902"
        trusted_proxies = ["35.191.0.0/16"]
        [deadlines]
        head = "1s"
        resolve = "2s"
        connect = "3s"
        handshake = "4s"
        authorize = "14s"
        attempts = "5s"
        response = "6s"
        response_idle = "7s"
        body_idle = "8s"
        idle = "9s"
        half_closed = "10s"
        lifetime = "11s"
        keepalive = "12s"
        drain = "13s"
        [limits]
        connections = 100
        head_bytes = "4KiB"
        body_bytes = "unlimited"
        socket_buffer = "16KiB"
        connections_per_client = 10
        [log]
        format = "console"
        progress = "off"
        query = true
        headers = ["User-Agent"]
        [resolver]
        nameservers = ["10.0.0.10", "[::1]:5353"]
        max_ttl = "1m"
        ipv6 = false
        [resolver.hosts]
        "Voice.local" = "127.0.0.10"
        """
        + ROUTE,
        environ={},
    )
    assert config.server == ServerSettings(
        (
            Listener(ListenAddress("127.0.0.1", 0)),
            Listener(ListenAddress("::", 80), (ip_network("10.0.0.0/8"),), "gcp"),
        ),
        "auto",
        None,
        ListenAddress("0.0.0.0", 9902),
        (ip_network("35.191.0.0/16"),),
    )
    assert config.deadlines == Deadlines(*map(float, (1, 2, 3, 4, 14, *range(5, 14))))
    assert config.limits == Limits(100, 4096, None, 16384, 10)
    assert config.log == LogSettings("console", math.inf, True, ("user-agent",))
    assert config.resolver == ResolverSettings(
        (("10.0.0.10", 53), ("::1", 5353)), 60.0, ipv6=False, hosts={"voice.local": ("127.0.0.10",)}
    )


def test_the_environment_fills_in_numbers_booleans_and_words() -> None:
    config = load(
        """
        [server]
        listen = ["${ADDRESS:-127.0.0.1}:${PORT}"]
        workers = "${WORKERS:-3}"
        admin = "${ADMIN:-off}"
        [limits]
        body_bytes = "${BODY:-unlimited}"
        [resolver]
        ipv6 = "${IPV6}"
        [deadlines]
        idle = "${IDLE}m"
        """
        + ROUTE,
        environ={"PORT": "81", "IPV6": "false", "IDLE": "5"},
    )
    assert config.server.listen == (Listener(ListenAddress("127.0.0.1", 81)),)
    assert (config.server.workers, config.server.admin, config.limits.body_bytes) == (3, None, None)
    assert (config.resolver.ipv6, config.deadlines.idle) == (False, 300.0)


def test_the_environment_can_not_inject_syntax() -> None:
    environ = {"X": '"\nrespond = "status"\n[server]\nworkers = 9 #'}
    config = load(ROUTE.replace("status = 200", 'status = 200, body = "${X}"'), environ=environ)
    assert config.server.workers == 1
    assert getattr(config.routes[0].respond, "body", None) == environ["X"].encode()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a = 1\nb 2\n", "line 2, column 3: Expected '=' after a key in a key/value pair"),
        ("[server]\nidle = 30s\n", "line 2, column 10: Expected newline or end of document after a statement"),
        ("a = 1\nb =\n\n", "line 2, column 4: Invalid value"),
        ("a = [1,\n", "line 1, column 8: Invalid value"),
        ("a = " + "[" * 3000, "lists or tables are nested too deep"),
        (f"a = {'1' * 5000}", "an integer has too many digits"),
        ("a = '\ud800'", "is not valid UTF-8"),
    ],
    ids=range(7),
)
def test_text_that_is_no_toml(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(text, name="F", environ={})
    (told,) = refused.value.faults
    assert told.startswith(f"F: {fault}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("sever = 1\n", ['sever: unknown section; did you mean "server"?']),
        ("zz = 1\n", ["zz: unknown section"]),
        ("server = 1\n", ["server: must be a table, not 1"]),
        ("[[server]]\n", ["server: must be a table, not a list"]),
        ('server = "${X}"\n', ["server: the environment variable X is not set; set it or write a default: ${X:-...}"]),
        ("upstreams = 3\n", ["upstreams: must be tables such as [upstreams.pod], not 3"]),
        ('upstreams.pod = "a:1"\n', ['upstreams.pod: must be a table, not "a:1"']),
        ('[upstreams."a.b"]\naddress = "x"\n', [
            'upstreams."a.b".address: "x" has no port; write for example "x:8080"']),
        ("routes = []\n", ["routes: there is none; write at least one [[routes]] table"]),
        ("[routes]\n", ["routes: must be an array of tables; write [[routes]] above each route"]),
        ("routes = [1]\n", ["routes 1: must be a table, not 1"]),
        ('[server]\nworkers = "2"\n', ['server.workers: must be an integer, not "2"; or write "auto"']),
        ("[server]\nworkers = 0\n", ['server.workers: must be between 1 and 128, not 0; or write "auto"']),
        ("[server]\nworkers = 0x" + "f" * 5000 + "\n", [
            'server.workers: must be an integer, not a number beyond 64 bits; or write "auto"']),
        ('[server]\nlisten = "127.0.0.1:80"\nadmin = "127.0.0.1:80"\n', [
            "server.admin: 127.0.0.1:80 is taken by server.listen"]),
        ('[server]\nmetrics = "127.0.0.1:9901"\n', ["server.metrics: 127.0.0.1:9901 is taken by server.admin"]),
        ('[server]\nmetrics = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n', []),
        ("[limits]\nconnections = true\n", ["limits.connections: must be an integer, not true"]),
        ("[limits]\nhead_bytes = 1000\n", ["limits.head_bytes: must be between 1024 and 65536, not 1000"]),
        ('[limits]\nbody_bytes = "lots"\n', [
            'limits.body_bytes: "lots" is no size such as 32768, "32KiB" or "10MiB"; or write "unlimited"']),
        ("[limits]\nsocket_buffer = 16383\n", [
            "limits.socket_buffer: must be between 16384 and 16777216, not 16383"]),
        ('[limits]\nsocket_buffer = "17MiB"\n', [
            "limits.socket_buffer: must be between 16384 and 16777216, not 17825792"]),
        ("[log]\nprogress = 2026-01-01\n", [
            'log.progress: must be a string, not a date or time; or write "off"']),
        ("[resolver.hosts]\na.b = '::1'\n'A b' = '::1'\n", [
            "resolver.hosts.a: is a table; put a name with dots in quotes",
            'resolver.hosts."A b": is no host name']),
        ('[resolver]\nhosts = { a = ["x", "y"] }\n', [
            'resolver.hosts.a: "x" is no IP address', 'resolver.hosts.a: "y" is no IP address']),
        ('[deadlines]\nidl = "3s"\nhead = "${H}"\n', [
            "deadlines.head: the environment variable H is not set; set it or write a default: ${H:-...}",
            'deadlines.idl: unknown key; did you mean "idle"?']),
        ('[server]\ntrusted_proxies = ["x", "x"]\n', [
            'server.trusted_proxies: "x" is no network; write for example "10.0.0.0/8"']),
        ('"a\\nb" = 1\n', ['"a\\nb": unknown section']),
        ('"\\u2028\\u001b[31m" = 1\n', ['"\\u2028\\x1b[31m": unknown section']),
    ],
    ids=range(30),
)  # fmt: skip
def test_faults_of_sections(text: str, expected: list[str]) -> None:
    assert faults(text) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('metrics = "0.0.0.0:9901"', ["metrics: 0.0.0.0:9901 is taken by 127.0.0.1:9901 of server.admin"]),
        ('admin = "127.0.0.1:8080"', ["admin: 127.0.0.1:8080 is taken by 0.0.0.0:8080 of server.listen"]),
        ('listen = ["127.0.0.1:80", "0.0.0.0:80"]', ["listen: 0.0.0.0:80 is taken by 127.0.0.1:80 of server.listen"]),
        ('listen = "[::1]:80"\nmetrics = "[::]:80"', ["metrics: [::]:80 is taken by [::1]:80 of server.listen"]),
        ('listen = ["127.0.0.1:80", "127.0.0.2:80"]\nmetrics = "127.0.0.2:80"', [
            "metrics: 127.0.0.2:80 is taken by server.listen"]),
        ('listen = "127.0.0.1:80"\nadmin = "127.0.0.1:80"\nmetrics = "127.0.0.1:80"', [
            "admin: 127.0.0.1:80 is taken by server.listen", "metrics: 127.0.0.1:80 is taken by server.listen"]),
        ('listen = ["[::]:80", "0.0.0.0:80"]\nmetrics = "127.0.0.1:81"', []),
        ('listen = ["127.0.0.1:80", "127.0.0.2:80"]', []),
        ('listen = ["0.0.0.0:0", "127.0.0.1:0"]\nmetrics = "0.0.0.0:0"', []),
    ],
    ids=range(9),
)  # fmt: skip
def test_two_listeners_on_one_address(keys: str, expected: list[str]) -> None:
    assert faults(f"[server]\n{keys}\n") == [f"server.{fault}" for fault in expected]


def test_a_broken_address_takes_none() -> None:
    assert faults('[server]\nlisten = "x:1"\nadmin = "127.0.0.1:8080"\nmetrics = "127.0.0.1:8080"\n') == [
        'server.listen: "x" is no IP address; write for example "0.0.0.0:8080" or "[::]:8080"',
        "server.metrics: 127.0.0.1:8080 is taken by server.admin",
    ]
    assert len(faults('[server]\nadmin = "x"\nmetrics = "127.0.0.1:9901"\n')) == 1


def test_a_file_without_anything() -> None:
    with pytest.raises(ConfigError) as refused:
        load("", environ={})
    assert refused.value.faults == ("routing.toml: routes: there is none; write at least one [[routes]] table",)


def test_one_fault_never_hides_another() -> None:
    assert faults(
        """
        [server]
        lisen = "x"
        workers = 0
        [deadlines]
        idle = 30
        [upstreams.pod]
        address = "{pod}:80"
        [upstreams.api]
        address = "api:80"
        [[routes]]
        name = "one"
        regex = '^/(?<pod>[^/]+$'
        upstream = "pod"
        rewrite = "{pdo}"
        deadlines = { idle = 3, conect = "3s" }
        [[routes]]
        name = "one"
        path = "/x"
        upstream = "api"
        rewrite = "{pod}"
        fallback = "apii"
        methods = ["get"]
        """
    ) == [
        'server.workers: must be between 1 and 128, not 0; or write "auto"',
        'server.lisen: unknown key; did you mean "listen"?',
        'deadlines.idle: a duration needs a unit; write "30s"',
        'upstreams.pod.address: "{pod}" lets the URL choose the domain; '
        'end it in one of your own, such as "{pod}.voice-agent.svc.cluster.local"',
        'routes 1 "one": regex: missing ): ^/(?<pod>[^/]+$',
        'routes 1 "one": deadlines.idle: a duration needs a unit; write "3s"',
        'routes 1 "one": deadlines.conect: unknown key; did you mean "connect"?',
        'routes 2 "one": name: routes 1 has the same name',
        'routes 2 "one": methods: "get" is not in upper case; write "GET"',
        'routes 2 "one": rewrite: unknown capture {pod}; a path has no captures, a regex has',
        'routes 2 "one": fallback: unknown upstream "apii"; did you mean "api"?',
    ]


def test_unreadable_upstreams_make_no_route_s_upstream_unknown() -> None:
    text = 'upstreams = 1\n[[routes]]\nname = "a"\npath = "/a"\nupstream = "x"\n'
    assert faults(text) == ["upstreams: must be tables such as [upstreams.pod], not 1"]


def test_a_byte_order_mark_is_skipped() -> None:
    assert load("\ufeff" + ROUTE, environ={}) == load(ROUTE, environ={})


def test_an_upstream_is_judged_with_the_hosts_that_the_file_fixes() -> None:
    text = '[resolver.hosts]\n"a.test" = "127.0.0.1"\n[upstreams."a b"]\naddress = "a.test:80"\n'
    assert faults(text) == [
        'upstreams."a b".allow: a.test (127.0.0.1) is loopback, and every request would get 502; '
        'write allow = ["127.0.0.1/32"]'
    ]


@pytest.mark.parametrize("over", [0, 1])
def test_so_many_routes_may_limit_their_tunnels(over: int) -> None:
    limited = "".join(
        f'[[routes]]\nname = "{number}"\npath = "/{number}"\nupstream = "a"\nupgrade = ["websocket"]\nmax_tunnels = 1\n'
        for number in range(MOST_ROUTES + over)
    )
    text = '[upstreams.a]\naddress = "a.test:80"\n' + limited
    if not over:
        assert len(load(text, environ={}).routes) == MOST_ROUTES
        return
    with pytest.raises(ConfigError) as refused:
        load(text, environ={})
    told = "routing.toml: routes: 129 have max_tunnels, and at most 128 may; leave it out of some"
    assert refused.value.faults == (told,)
