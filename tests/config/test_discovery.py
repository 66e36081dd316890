"""Discovery in the file: which Services addresses name, and what can't be."""

from __future__ import annotations

import pytest
from attrs import evolve

from splicer.config.discovery import api_url, needs_discovery
from splicer.config.lint import warnings
from splicer.config.load import load
from splicer.config.scalars import BadValue
from splicer.config.schema import Config
from splicer.config.upstreams import read_upstream
from splicer.model import Service

ROUTE = '[[routes]]\nname = "all"\nprefix = "/"\nupstream = "x"\n'


def config(upstream: str, more: str = "") -> Config:
    return load(f"{more}\n[upstreams.x]\n{upstream}\n{ROUTE}", environ={})


def faults(table: dict[str, object], hosts: dict[str, tuple[str, ...]] | None = None) -> list[tuple[str, str]]:
    upstream, found = read_upstream("x", table, hosts or {})
    assert (upstream is None) is bool(found)
    return [(fault.key, fault.text) for fault in found]


@pytest.mark.parametrize(
    ("address", "service"),
    [
        ("voice-agent.voice.svc.cluster.local:8000", Service("voice", "voice-agent", 8000)),
        ("Voice-Agent.VOICE.SVC.Cluster.Local.:8000", Service("voice", "voice-agent", 8000)),
        ("router.voice.svc:http", Service("voice", "router", "http")),
        ("{pod}.voice-agent.voice.svc.cluster.local:8000", Service("voice", "voice-agent", 8000, of_pod=True)),
        ("x-{pod}-{zone}.voice-agent.voice.svc:80", Service("voice", "voice-agent", 80, of_pod=True)),
        ("agent-0.voice-agent.voice.svc:80", Service("voice", "voice-agent", 80, of_pod=True)),
        ("svc.svc.svc:80", Service("svc", "svc", 80)),
        ("a.b.svc.svc.local:80", Service("b", "a", 80)),
    ],
)
def test_an_address_names_a_service(address: str, service: Service) -> None:
    upstream, found = read_upstream("x", {"address": address, "discovery": "kubernetes"})
    assert found == ()
    assert upstream is not None
    assert upstream.service == service
    assert upstream.text.lower() == address.lower()
    assert upstream.port == (service.port if isinstance(service.port, int) else 0)
    assert upstream.names_pod is service.of_pod


ALL = {"address": "voice-agent.voice.svc:8000", "discovery": "kubernetes"}


def test_slow_start() -> None:
    upstream, _ = read_upstream("x", ALL | {"slow_start": "1m"})
    assert upstream is not None
    assert upstream.slow_start == 60
    assert read_upstream("x", ALL)[0] == evolve(upstream, slow_start=None)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (ALL | {"slow_start": "never"}, "must be between 1s and 1h, not never"),
        (ALL | {"slow_start": "999ms"}, "must be between 1s and 1h, not 999ms"),
        (ALL | {"slow_start": "1h1s"}, "must be between 1s and 1h, not 1h1s"),
        (
            {"address": "a.b.svc:80", "slow_start": "1m"},
            'needs discovery = "kubernetes": name servers don\'t say since when a pod is ready',
        ),
        (
            ALL | {"address": "{pod}.voice-agent.voice.svc:8000", "slow_start": "1m"},
            "the address names the pod, so there is none to choose; write it at an upstream that leads to all pods",
        ),
        (ALL | {"balance": "random", "slow_start": "1m"}, 'needs balance = "least-tunnels", not "random"'),
    ],
)
def test_where_slow_start_means_nothing(table: dict[str, object], fault: str) -> None:
    assert faults(table) == [("slow_start", fault)]


def test_by_default_names_are_asked() -> None:
    upstream, _ = read_upstream("x", {"address": "a.b.svc:80"})
    assert upstream is not None
    assert upstream.service is None
    assert not needs_discovery([upstream])
    assert needs_discovery(config('address = "a.b.svc:80"\ndiscovery = "kubernetes"').upstreams.values())


NEEDS = (
    '"kubernetes" needs an address such as "SERVICE.NAMESPACE.svc.cluster.local:8000", or "{pod}." in front of it; '
    '"%s" names no Service'
)


@pytest.mark.parametrize(
    "address", ["10.0.0.7:80", "router:80", "router.svc:80", "router.voice.cluster.local:80", "a.b.c.d.svc:80",
                "my_router.voice.svc:80", "{a}.{b}.c.d.svc.test:80"]
)  # fmt: skip
def test_an_address_that_names_no_service(address: str) -> None:
    assert faults({"address": address, "discovery": "kubernetes"}) == [("discovery", NEEDS % address)]


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("router.{Ns}.svc.cluster.local:80", "{Ns} stands where the namespace does"),
        ("{pod}.{app}-x.voice.svc.test:80", "{app}-x stands where the Service does"),
        ("router.voice.svc.{Zone}.test:80", "{Zone}.test stands where the cluster's domain does"),
    ],
)
def test_no_url_chooses_a_service(address: str, where: str) -> None:
    fault = f'"kubernetes": {where}; only the pod\'s label can come from the URL'
    assert faults({"address": address, "discovery": "kubernetes"}) == [("discovery", fault)]


def test_the_other_faults() -> None:
    one_of = 'must be one of "dns", "kubernetes", not "k8s"'
    assert faults({"address": "a.b.svc:80", "discovery": "k8s"}) == [("discovery", one_of)]
    named = 'port "http" is a name; that needs discovery = "kubernetes"'
    assert faults({"address": "a.b.svc:http"}) == [("address", named)]
    fixed = 'port "http" is a name, and [resolver.hosts] gives addresses alone; write the port\'s number'
    table: dict[str, object] = {"address": "a.b.svc:http", "discovery": "kubernetes"}
    assert faults(table, {"a.b.svc": ("10.0.0.1",)}) == [("address", fixed)]


@pytest.mark.parametrize(
    "url",
    ["in-cluster", "http://127.0.0.1:8001", "http://localhost", "http://[::1]:8001", "https://10.0.0.1",
     "https://k8s.test:6443/prefix", "https://[fd00::1]:443"],
)  # fmt: skip
def test_where_the_api_server_may_be(url: str) -> None:
    assert api_url(url) == url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://10.0.0.1", '"http://10.0.0.1" would send the token in the clear; write https://'),
        ("http://localhost.test:80", '"http://localhost.test:80" would send the token in the clear; write https://'),
        ("ftp://10.0.0.1", "is no URL of a server"),
        ("10.0.0.1:443", "is no URL of a server"),
        ("https://", "is no URL of a server"),
        ("https://a@10.0.0.1", "is no URL of a server"),
        ("https://10.0.0.1/?x", "is no URL of a server"),
        ("https://[::1", 'is no URL; write "in-cluster", or a URL such as "https://10.0.0.1:443"'),
        ("https://10.0.0.1:99999", 'port "99999" is not between 1 and 65535'),
        (1, "must be a string, not 1"),
    ],
)
def test_where_it_can_not_be(url: object, fault: str) -> None:
    with pytest.raises(BadValue) as refused:
        api_url(url)
    assert fault in str(refused.value)


def test_a_section_that_nobody_needs_is_a_warning() -> None:
    section = '[kubernetes]\napi = "http://127.0.0.1:8001"'
    line = 'kubernetes: no upstream has discovery = "kubernetes"'
    assert line in warnings(config('address = "a.b.svc:80"', section))
    assert line not in warnings(config('address = "a.b.svc:80"\ndiscovery = "kubernetes"', section))
    assert line not in warnings(config('address = "a.b.svc:80"'))
