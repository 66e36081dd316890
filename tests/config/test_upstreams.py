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
        ("{pod}.voice-agent.svc:8000", "{pod}.voice-agent.svc", 8000),
        ("a-{pod}-{zone}.x:80", "a-{pod}-{zone}.x", 80),
    ],
)
def test_address(address: str, host: str, port: int) -> None:
    template, number = upstream_address(address)
    assert (template.text, number) == (host, port)


CHOOSES = "lets the URL choose the domain; end it in one of your own"


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        (80, "must be a string, not 80"),
        ("smart-router", '"smart-router" has no port; write for example "smart-router:8080"'),
        ("smart-router:http", 'port "http" is not between 1 and 65535'),
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
    upstream, faults = read_upstream("pod", {"address": "a:1", "allow": ["10.0.0.0/8"], "balance": "random"})
    assert faults == ()
    assert upstream is not None
    assert (upstream.name, upstream.text, upstream.balance) == ("pod", "a:1", "random")
    assert upstream.allow == (ip_network("10.0.0.0/8"),)


def test_the_defaults() -> None:
    upstream, _ = read_upstream("pod", {"address": "a:1"})
    assert upstream is not None
    assert (upstream.allow, upstream.balance) == (None, "least-tunnels")


def test_all_faults_of_a_table() -> None:
    upstream, faults = read_upstream("a\nb", {"allow": [], "balance": "rnd", "adress": "a:1"})
    assert upstream is None
    assert [(fault.key, fault.text) for fault in faults] == [
        ("", "a name is one line of printable characters, and not empty"),
        ("allow", "must not be empty: no pod could be reached; leave the key out to allow any address"),
        ("balance", 'must be one of "least-tunnels", "round-robin", "random", not "rnd"; did you mean "random"?'),
        ("adress", 'unknown key; did you mean "address"?'),
    ]


def test_a_table_without_address() -> None:
    assert [(fault.key, fault.text) for fault in read_upstream("pod", {})[1]] == [("address", "is missing")]
    assert [fault.text for fault in read_upstream("pod", "a:1")[1]] == ['must be a table, not "a:1"']
