"""Endpoints by name: what a resolver knows, as endpoints of an upstream."""

from __future__ import annotations

import pytest
import trio

from splicer.config.load import load
from splicer.errors import NameNotFound, ResolveFailed
from splicer.model import Endpoint, Upstream
from splicer.net.dns_names import RdataType
from splicer.net.dns_query import Records
from splicer.net.resolve import Resolver
from splicer.routing.template import parse_template
from splicer.upstream.source import Candidates, EndpointSource, NameSource, pod_name

_CONFIG = """
[resolver]
ipv6 = false
[resolver.hosts]
"pod-1.pods.test" = ["10.0.0.1", "10.1.0.1"]

[[routes]]
name = "health"
path = "/health"
respond = { status = 200 }
"""


def upstream(host: str, port: int = 8000) -> Upstream:
    return Upstream("an-upstream", parse_template(host), port)


NAMED, ROUTER = upstream("{pod}.pods.test"), upstream("router.test", 80)


class NameServer:
    """Knows the router's name, and can fail."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ("10.9.0.1", "10.9.0.2")
        self.asked: list[str] = []
        self.fails = False

    async def ask(self, name: str, _: RdataType) -> Records:
        self.asked.append(name)
        if self.fails:
            raise ResolveFailed("no server answers")
        return Records(self.addresses, 5.0) if name == "router.test" else Records((), 1.0, exists=False)


@pytest.fixture
def server() -> NameServer:
    return NameServer()


@pytest.fixture
async def source(server: NameServer, nursery: trio.Nursery) -> EndpointSource:
    settings = load(_CONFIG, environ={}).resolver
    return NameSource(Resolver(settings, nursery=nursery, lifetime=1.0, ask=server.ask))


@pytest.mark.parametrize(
    ("whose", "host", "endpoints"),
    [
        (NAMED, "pod-1.pods.test", (Endpoint("pod-1", "10.0.0.1", 8000), Endpoint("pod-1", "10.1.0.1", 8000))),
        (upstream("fd00::9", 9000), "fd00::9", (Endpoint("fd00::9", "fd00::9", 9000),)),
        (upstream("localhost", 1), "localhost", (Endpoint("localhost", "127.0.0.1", 1),)),
    ],
)
async def test_what_needs_no_name_server_is_at_hand(
    source: EndpointSource, server: NameServer, whose: Upstream, host: str, endpoints: tuple[Endpoint, ...]
) -> None:
    found = Candidates(endpoints, fresh=True)
    assert source.at_hand(whose, host) == found
    assert await source.find(whose, host, refresh=True) == found
    assert source.known(whose, host) == endpoints
    assert server.asked == []


async def test_what_a_name_server_knows_is_at_hand_once_it_was_found(
    source: EndpointSource, server: NameServer
) -> None:
    assert source.at_hand(ROUTER, "router.test") is None
    assert source.known(ROUTER, "router.test") == ()
    endpoints = (Endpoint("router.test", "10.9.0.1", 80), Endpoint("router.test", "10.9.0.2", 80))
    assert await source.find(ROUTER, "router.test") == Candidates(endpoints, fresh=True)
    assert source.at_hand(ROUTER, "router.test") == Candidates(endpoints, fresh=False)
    assert source.known(ROUTER, "router.test") == endpoints
    assert server.asked == ["router.test"]


async def test_asking_again_finds_others(source: EndpointSource, server: NameServer) -> None:
    await source.find(ROUTER, "router.test")
    server.addresses = ("10.9.0.3",)
    found = await source.find(ROUTER, "router.test", refresh=True)
    assert found == Candidates((Endpoint("router.test", "10.9.0.3", 80),), fresh=True)


async def test_a_name_that_nobody_knows(source: EndpointSource, server: NameServer) -> None:
    with pytest.raises(NameNotFound):
        await source.find(NAMED, "pod-9.pods.test")
    server.fails = True
    with pytest.raises(ResolveFailed):
        await source.find(ROUTER, "router.test")


def test_a_pod_is_called_by_what_the_url_chose() -> None:
    assert pod_name(NAMED, "pod-1.pods.test") == "pod-1"
    assert pod_name(ROUTER, "router.test") == "router.test"
