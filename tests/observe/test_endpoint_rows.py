"""A worker's rows of endpoints: those that were tried, and those that nobody has tried."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.errors import ConnectRefused
from splicer.ipc.codec import to_object
from splicer.model import Endpoint
from splicer.net.dns_names import RdataType
from splicer.net.dns_query import Records
from splicer.net.resolve import Resolver
from splicer.observe.endpoint_rows import endpoints
from splicer.record import AttemptOutcome
from splicer.upstream.loads import Alone, Loads
from splicer.upstream.source import NameSource
from splicer.upstream.status import EndpointStates
from tests.observe.still import StillRelay, record, still

_CONFIG = """
[resolver]
ipv6 = false
[resolver.hosts]
"pod-1.pods.test" = "10.0.0.1"
"pods.test" = ["10.0.0.1", "10.0.0.2"]

[upstreams.pod]
address = "{pod}.pods.test:8000"

[upstreams.any-pod]
address = "pods.test:8000"

[upstreams.smart-router]
address = "router.dns.test:80"

[upstreams.fixed]
address = "[fd00::9]:9000"

[[routes]]
name = "call"
regex = '^/ws/pod/(?<pod>[^/]+)$'
upstream = "pod"
fallback = "any-pod"
"""


async def _dns(name: str, _: RdataType) -> Records:
    return Records(("10.9.0.1",), 5.0) if name == "router.dns.test" else Records((), 1.0, exists=False)


class Known:
    """The states, and what they are asked with."""

    def __init__(self, config: Config, nursery: trio.Nursery) -> None:
        self.states = EndpointStates()
        self.config = config
        self.resolver = Resolver(config.resolver, nursery=nursery, lifetime=1.0, ask=_dns)
        self.source = NameSource(self.resolver)
        self.loads = Loads(Alone(), lambda: 0.0)
        self.relay = StillRelay()

    def begin(self, address: str, calls: int, requests: int = 0, port: int = 8000) -> None:
        for number in range(calls + requests):
            self.loads.begin((address, port), tunnel=number < calls)

    def tried(self, where: str | None, failure: str | None = None, upstream: str = "pod", pod: str = "pod-1") -> None:
        self.states.learn(AttemptOutcome(upstream, where, failure, pod=pod))

    def batches(self) -> list[list[dict[str, Any]]]:
        batches = endpoints(self.states, self.config, self.source, self.loads, self.relay)
        return [[to_object(row) for row in rows] for rows in batches if rows]

    def rows(self, upstream: str = "pod") -> list[dict[str, Any]]:
        return [row for rows in self.batches() for row in rows if row["upstream"] == upstream]


@pytest.fixture
async def known(nursery: trio.Nursery, mock_clock: MockClock) -> Known:
    mock_clock.jump(1000)
    return Known(load(_CONFIG, environ={}), nursery)


async def test_who_served_is_up_and_who_failed_is_down(known: Known, mock_clock: MockClock) -> None:
    known.begin("10.0.0.1", 3, requests=2)
    known.tried("10.0.0.1:8000")
    mock_clock.jump(2.5)
    known.tried("10.0.0.7:8000", ConnectRefused.reason, pod="pod-7")
    assert known.rows() == [
        {
            "upstream": "pod",
            "pod": "pod-1",
            "address": "10.0.0.1",
            "port": 8000,
            "source": "hosts",
            "state": "up",
            "failure": None,
            "since_s": 2.5,
            "tunnels": 3,
            "requests": 2,
        },
        {
            "upstream": "pod",
            "pod": "pod-7",
            "address": "10.0.0.7",
            "port": 8000,
            "source": "dns",
            "state": "down",
            "failure": "connect_refused",
            "since_s": 0,
            "tunnels": 0,
            "requests": 0,
        },
    ]


async def test_an_upstream_that_is_gone_is_not_shown(known: Known, mock_clock: MockClock) -> None:
    known.tried("10.0.0.1:8000")
    known.tried("10.0.0.5:8000", upstream="was-there-before")
    shown = {row["upstream"] for rows in known.batches() for row in rows}
    assert shown == {"pod", "any-pod", "fixed"}


async def test_rows_come_in_batches(known: Known, mock_clock: MockClock) -> None:
    for number in range(150):
        known.tried(f"10.1.0.{number}:8000")
    sizes = [len(rows) for rows in known.batches()]
    assert sizes == [32, 32, 32, 32, 150 - 128 + 2 + 1]


# ---- those that nobody has tried ----


async def test_endpoints_that_no_url_chooses_are_there_before_anybody_tries_them(
    known: Known, mock_clock: MockClock
) -> None:
    def untried() -> list[tuple[str, str, str, int, str]]:
        rows = [row for rows in known.batches() for row in rows]
        assert all((row["state"], row["failure"], row["since_s"]) == ("unknown", None, None) for row in rows)
        return [(row["upstream"], row["pod"], row["address"], row["port"], row["source"]) for row in rows]

    hosts = [
        ("any-pod", "pods.test", "10.0.0.1", 8000, "hosts"),
        ("any-pod", "pods.test", "10.0.0.2", 8000, "hosts"),
    ]
    literal = ("fixed", "fd00::9", "fd00::9", 9000, "literal")
    assert untried() == [*hosts, literal], "the name servers are not asked for a page"
    await known.resolver.resolve("router.dns.test")
    assert untried() == [*hosts, ("smart-router", "router.dns.test", "10.9.0.1", 80, "dns"), literal]


async def test_an_endpoint_that_was_tried_is_shown_once(known: Known, mock_clock: MockClock) -> None:
    known.begin("fd00::9", 7, port=9000)
    known.tried("[fd00::9]:9000", "connect_deadline", "fixed", "fd00::9")
    [row] = known.rows("fixed")
    assert (row["address"], row["port"], row["source"]) == ("fd00::9", 9000, "literal")
    assert (row["state"], row["tunnels"]) == ("down", 7)


async def test_one_address_may_be_of_two_upstreams(known: Known, mock_clock: MockClock) -> None:
    known.tried("10.0.0.1:8000", "pod_reset")
    assert [row["state"] for row in known.rows("any-pod")] == ["unknown", "unknown"]
    assert Endpoint("pod-1", "10.0.0.1", 8000).pod == known.rows()[0]["pod"]


# ---- those that have calls ----


async def test_an_endpoint_with_a_call_is_shown_however_long_ago_its_last_attempt_was(
    known: Known, mock_clock: MockClock
) -> None:
    """Adopted calls come without an attempt, and calls of an hour outlive what is known of theirs."""
    pods = [Endpoint(f"pod-{number}", f"10.2.{number // 250}.{number % 250}", 8000) for number in range(300)]
    known.relay.shown = [still(record(number, upstream="pod", endpoint=pod)) for number, pod in enumerate(pods)]
    known.relay.shown += [
        still(record(500, upstream="pod", endpoint=pods[7])),
        still(record(501, upstream="was-there-before", endpoint=pods[8])),
        still(record(502, upstream="pod", endpoint=None)),
        still(record(503, upstream="pod", endpoint=Endpoint("over", "10.3.0.1", 8000))),
    ]
    known.relay.shown[-1].alive = False
    known.begin("10.2.0.7", 2)
    known.tried("10.2.0.9:8000", pod="pod-9")
    rows = known.rows()
    assert sorted(row["pod"] for row in rows) == sorted(pod.pod for pod in pods)
    states = {row["pod"]: (row["state"], row["tunnels"]) for row in rows}
    assert (states["pod-7"], states["pod-8"], states["pod-9"]) == (("unknown", 2), ("unknown", 0), ("up", 0))
