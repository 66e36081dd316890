from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.config.upstreams import read_upstream, upstream_address
from splicer.errors import BadCapture
from splicer.routing.template import render_host


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("smart-router.local:8080", "smart-router.local", 8080),
        ("smart_router:80", "smart_router", 80),
        ("Name.example.:80", "Name.example.", 80),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
        ("smart-router.voice.svc:http-2", "smart-router.voice.svc", "http-2"),
        ("{pod}.voice-agent.svc:8000", "{pod}.voice-agent.svc", 8000),
        ("a-{pod}-{zone}.x:80", "a-{pod}-{zone}.x", 80),
    ],
)
def test_address(address: str, host: str, port: int | str) -> None:
    template, number = upstream_address(address)
    assert (template.text, number) == (host, port)


CHOOSES = "lets the URL choose the domain; end it in one of your own"


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        (80, "must be a string, not 80"),
        ("smart-router", '"smart-router" has no port; write for example "smart-router:8080"'),
        ("smart-router:HTTP", 'port "HTTP" is not between 1 and 65535'),
        ("smart-router:0", 'port "0" is not between 1 and 65535'),
        ("smart-router:65536", 'port "65536" is not between 1 and 65535'),
        ("http://smart-router:80", 'write host:port without "http://"'),
        ("::1:80", '"::1:80" is ambiguous; write an IPv6 address in brackets: "[::1]:8080"'),
        (":80", '"" is neither a host name nor an IP address'),
        ("a b:80", '"a b" is neither a host name nor an IP address'),
        ("10.0.0.256:80", '"10.0.0.256" is neither a host name nor an IP address'),
        ("[::1%eth0]:80", '"::1%eth0" is neither a host name nor an IP address'),
        ("{pod.x:80", '"{" is not closed'),
        ("x.local:{port}", "a port can't come from a capture: the URL must not choose it"),
        ("{pod}:80", CHOOSES),
        ("{pod}.:80", CHOOSES),
        ("voice.{pod}:80", CHOOSES),
        ("{pod}com:80", CHOOSES),
        ("{pod}..x:80", '"{pod}..x" makes no host name'),
        ("{pod}.x y:80", '"{pod}.x y" makes no host name'),
        ("{pod}.10.1:80", '"{pod}.10.1" makes no host name'),
    ],
)
def test_an_address_that_can_not_be_used(address: object, fault: str) -> None:
    with pytest.raises(ValueError) as refused:
        upstream_address(address)
    assert fault in str(refused.value)


@given(st.text("a.-{}", max_size=4), st.text("a.-{}:8", max_size=5), st.text("ab.-:/%", max_size=6))
def test_no_url_chooses_the_domain(before: str, after: str, capture: str) -> None:
    try:
        template, _ = upstream_address(f"{before}{{pod}}{after}:80")
        host = render_host(template, {"pod": capture})
    except (BadCapture, ValueError):
        return
    assert host == f"{before}{capture}{after}"
    assert host.endswith(after[after.index(".") :])
    assert "." not in capture


def test_a_table() -> None:
    table = {"address": "a:1", "allow": ["10.0.0.0/8"], "balance": "random", "proxy_protocol": "v2"}
    upstream, faults = read_upstream("pod", table)
    assert faults == ()
    assert upstream is not None
    assert (upstream.name, upstream.text, upstream.balance) == ("pod", "a:1", "random")
    assert (upstream.allow, upstream.proxy_protocol) == ((ip_network("10.0.0.0/8"),), "v2")


def test_the_defaults() -> None:
    upstream, _ = read_upstream("pod", {"address": "a:1"})
    assert upstream is not None
    assert (upstream.allow, upstream.balance, upstream.proxy_protocol) == (None, "least-tunnels", None)
    assert (upstream.max_tunnels, upstream.max_requests) == (None, None)


def test_limits_at_each_endpoint() -> None:
    upstream, faults = read_upstream("pod", {"address": "a:1", "max_tunnels": 40, "max_requests": "200"})
    assert (upstream, [(fault.key, fault.text) for fault in faults]) == (
        None,
        [("max_requests", 'must be an integer, not "200"')],
    )
    upstream, faults = read_upstream("pod", {"address": "a:1", "max_tunnels": 40, "max_requests": 200})
    assert upstream is not None
    assert (upstream.limit(tunnel=True), upstream.limit(tunnel=False), faults) == (40, 200, ())
    _, faults = read_upstream("pod", {"address": "a:1", "max_tunnels": 0, "max_requests": 1_000_001})
    assert [(fault.key, fault.text) for fault in faults] == [
        ("max_tunnels", "must be between 1 and 1000000, not 0"),
        ("max_requests", "must be between 1 and 1000000, not 1000001"),
    ]
    assert (upstream.outlier_detection, upstream.health_check) == (None, None)


def test_all_faults_of_a_table() -> None:
    upstream, faults = read_upstream("a\nb", {"allow": [], "balance": "rnd", "proxy_protocol": True, "adress": "a:1"})
    assert upstream is None
    assert [(fault.key, fault.text) for fault in faults] == [
        ("", "a name is one line of printable characters, and not empty"),
        ("allow", "must not be empty: no pod could be reached; leave the key out to allow any address"),
        ("balance", 'must be one of "least-tunnels", "round-robin", "random", not "rnd"; did you mean "random"?'),
        ("proxy_protocol", "must be a string, not true"),
        ("adress", 'unknown key; did you mean "address"?'),
    ]


def test_a_table_without_address() -> None:
    assert [(fault.key, fault.text) for fault in read_upstream("pod", {})[1]] == [("address", "is missing")]
    assert [fault.text for fault in read_upstream("pod", "a:1")[1]] == ['must be a table, not "a:1"']


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1:8000", ["127.0.0.1/32"]),
        ("[::1]:8000", ["::1/128"]),
        ("10.1.2.3:80", ["10.1.2.3/32"]),
        ("[::ffff:127.0.0.1]:80", ["127.0.0.1/32"]),
        ("localhost:8000", ["127.0.0.1/32", "::1/128"]),
        ("Pod-0.LocalHost.:8000", ["127.0.0.1/32", "::1/128"]),
        ("router.test:80", None),
        ("{pod}.test:80", None),
    ],
)
def test_an_address_that_the_file_itself_gives_is_its_own_network(address: str, own: list[str] | None) -> None:
    upstream, faults = read_upstream("x", {"address": address})
    assert faults == ()
    assert upstream is not None
    assert upstream.allow == (None if own is None else tuple(map(ip_network, own)))


HOSTS = {"a.test": ("127.0.0.1", "127.0.0.2"), "b.test": ("10.0.0.1",), "c.test": ("169.254.169.254",)}
NEVER = "is never dialled: it is link-local, multicast, reserved, unspecified or gives out a machine's credentials"


@pytest.mark.parametrize(
    ("table", "key", "fault"),
    [
        ({"address": "169.254.169.254:80"}, "address", f"169.254.169.254 {NEVER}"),
        ({"address": "[fe80::1]:80", "allow": ["fe80::/10"]}, "address", f"fe80::1 {NEVER}"),
        ({"address": "224.0.0.1:80"}, "address", f"224.0.0.1 {NEVER}"),
        ({"address": "0.0.0.0:80"}, "address", f"0.0.0.0 {NEVER}"),
        ({"address": "[::ffff:169.254.1.1]:80"}, "address", f"::ffff:169.254.1.1 {NEVER}"),
        ({"address": "100.100.100.200:80"}, "address", f"100.100.100.200 {NEVER}"),
        ({"address": "c.test:80"}, "address", f"169.254.169.254, which [resolver.hosts] gives c.test, {NEVER}"),
        (
            {"address": "10.0.0.1:80", "allow": ["10.1.0.0/16"]},
            "allow",
            '10.0.0.1 lies outside, and every request would get 502; add "10.0.0.1/32"',
        ),
        (
            {"address": "localhost:80", "allow": ["10.0.0.0/8"]},
            "allow",
            'localhost (127.0.0.1, ::1) lies outside, and every request would get 502; add "127.0.0.1/32"',
        ),
        (
            {"address": "B.test.:80", "allow": ["127.0.0.0/8"]},
            "allow",
            'B.test. (10.0.0.1) lies outside, and every request would get 502; add "10.0.0.1/32"',
        ),
        (
            {"address": "a.test:80"},
            "allow",
            "a.test (127.0.0.1, 127.0.0.2) is loopback, and every request would get 502; "
            'write allow = ["127.0.0.1/32"]',
        ),
    ],
)
def test_an_address_that_could_never_be_dialled(table: dict[str, object], key: str, fault: str) -> None:
    upstream, faults = read_upstream("x", table, HOSTS)
    assert upstream is None
    assert [(fault.key, fault.text) for fault in faults] == [(key, fault)]


@pytest.mark.parametrize(
    "table",
    [
        {"address": "a.test:80", "allow": ["127.0.0.2/32"]},
        {"address": "b.test:80"},
        {"address": "10.0.0.1:80", "allow": ["10.0.0.0/8"]},
        {"address": "{pod}.test:80", "allow": ["192.168.0.0/16"]},
    ],
)
def test_one_address_that_may_be_dialled_will_do(table: dict[str, object]) -> None:
    assert read_upstream("x", table, HOSTS)[1] == ()
