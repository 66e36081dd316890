"""Health checks as the discovery process makes them: a verdict in the snapshot, a line in the log, counts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import pytest
import trio
from attrs import define, field

from splicer.discovery.checks import Target
from splicer.discovery.health_checks import HealthChecks
from splicer.discovery.members import Members
from splicer.discovery.publisher import Publisher
from splicer.health import HealthCheck
from splicer.ipc.endpoint_memory import EndpointMemory, make_endpoint_memory
from splicer.ipc.tls_table import make_tls_memory
from splicer.model import Endpoint
from splicer.policy.allowed import own_network
from splicer.policy.endpoint_flags import EJECTED, UNHEALTHY
from splicer.policy.outlier import Key
from splicer.upstream.tls_links import TlsLinks
from tests.discovery.logged import Logged
from tests.kit.pods import http_pod, ok
from tests.kit.site import Site
from tests.kit.wire import until

CHECK = HealthCheck("/health", interval=1.0, timeout=0.5, unhealthy_threshold=1, healthy_threshold=1)


@pytest.fixture
def memory() -> Iterator[EndpointMemory]:
    fd = make_endpoint_memory()
    yield EndpointMemory(fd, writable=True)
    os.close(fd)


@define
class Ground:
    memory: EndpointMemory
    nursery: trio.Nursery
    addresses: list[str]
    port: int
    log: Logged = field(factory=Logged)
    counted: list[tuple[str, str]] = field(factory=list)
    publisher: Publisher = field(init=False)
    health: HealthChecks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.publisher = Publisher(self.memory, self.log.logger)
        members = cast("Members", self)
        tls = TlsLinks(make_tls_memory())
        self.health = HealthChecks(self.publisher, members, tls, self.log.logger, self, "edge-1", lambda: 0.5)
        self.nursery.start_soon(self.health.run)
        self.health.look()

    def targets(self) -> Iterator[Target]:
        for address in self.addresses:
            network = own_network(address)
            assert network is not None
            yield Target("app", Endpoint("app.test", address, self.port), "app.test", CHECK, (network,))

    def checked(self, upstream: str, outcome: str, seconds: float) -> None:
        assert 0 <= seconds < 10
        self.counted.append((upstream, outcome))

    def check_late(self) -> None:
        raise AssertionError("nothing is late here")

    def unhealthy(self) -> set[Key]:
        return {key for key, verdict in self.publisher.verdicts.items() if verdict.flags & UNHEALTHY}


async def test_an_endpoint_falls_and_rises(memory: EndpointMemory, nursery: trio.Nursery) -> None:
    site = Site()
    places = [site.take() for _ in range(3)]
    well = await http_pod(nursery, places[0].address, site.port)
    statuses = [b"200 OK", b"503 Unavailable"]
    await http_pod(nursery, places[1].address, site.port, lambda _: ok(b"", status=statuses[-1]))
    ground = Ground(memory, nursery, [place.address for place in places], site.port)
    keys = [(place.address, site.port) for place in places]
    await until(lambda: ground.unhealthy() == set(keys[1:]))
    assert {line["failure"] for line in ground.log.of("endpoint_unhealthy")} == {"status", "connect_refused"}
    assert {line["after"] for line in ground.log.of("endpoint_unhealthy")} == {1}
    await until(lambda: set(ground.counted) == {("app", word) for word in ("ok", "status", "connect_refused")})
    ground.publisher.amend(keys[1], EJECTED, EJECTED, until=5.0)
    statuses.pop()
    await until(lambda: ground.unhealthy() == set(keys[2:]))
    assert ground.publisher.verdicts[keys[1]].flags == EJECTED, "a health check ends no ejection"
    [line] = ground.log.of("endpoint_healthy")
    assert line == {
        "level": "info",
        "upstream": "app",
        "pod": "app.test",
        "endpoint": f"{places[1].address}:{site.port}",
    }
    ground.addresses = ground.addresses[:1]
    ground.health.look()
    assert ground.unhealthy() == set()
    assert well.seen[0].line == "GET /health HTTP/1.1"


async def test_another_process_believes_what_was_published(memory: EndpointMemory, nursery: trio.Nursery) -> None:
    site = Site()
    place = site.take()
    ground = Ground(memory, nursery, [place.address], site.port)
    await until(lambda: ground.unhealthy())
    ground.publisher.publish()
    other = Ground(memory, nursery, [], site.port)
    assert other.unhealthy() == {(place.address, site.port)}
    other.addresses = [place.address]
    other.health.look()
    assert other.unhealthy() == {(place.address, site.port)}
    assert not other.log.of("endpoint_unhealthy"), "it is no news"
