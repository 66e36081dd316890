"""What is known of endpoints: from attempts, for a while, and of those that nobody has tried."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from dns.rdatatype import RdataType
from trio.testing import MockClock

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.errors import (
    AttemptsTimeout,
    BadAnswer,
    ClientGone,
    ConnectRefused,
    HandshakeTimeout,
    NoDescriptor,
    PodDraining,
    UnwantedStatus,
)
from splicer.ipc.codec import to_object
from splicer.model import AttemptOutcome, Endpoint
from splicer.net.dns_query import Records
from splicer.net.resolve import Resolver
from splicer.upstream import status as module
from splicer.upstream.status import EndpointStates
from tests.observe.still import record

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
        self.live: dict[str, int] = {}

    def tried(self, where: str | None, failure: str | None = None, upstream: str = "pod", pod: str = "pod-1") -> None:
        self.states.learn(record(attempts=[AttemptOutcome(upstream, where, failure, pod=pod)]))

    def batches(self) -> list[list[dict[str, Any]]]:
        batches = self.states.rows(self.config, self.resolver, lambda endpoint: self.live.get(str(endpoint), 0))
        return [[to_object(row) for row in rows] for rows in batches]

    def rows(self, upstream: str = "pod") -> list[dict[str, Any]]:
        return [row for rows in self.batches() for row in rows if row["upstream"] == upstream]


@pytest.fixture
async def known(nursery: trio.Nursery, mock_clock: MockClock) -> Known:
    mock_clock.jump(1000)
    return Known(load(_CONFIG, environ={}), nursery)


async def test_who_served_is_up_and_who_failed_is_down(known: Known, mock_clock: MockClock) -> None:
    known.live["10.0.0.1:8000"] = 3
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
        },
    ]


async def test_a_state_is_as_old_as_its_last_change(known: Known, mock_clock: MockClock) -> None:
    told = []
    for failure in (None, None, "connect_refused", "connect_refused", "pod_reset", None):
        known.tried("10.0.0.1:8000", failure)
        mock_clock.jump(10)
        [row] = known.rows()
        told.append((row["state"], row["failure"], row["since_s"]))
    assert told == [
        ("up", None, 10),
        ("up", None, 20),
        ("down", "connect_refused", 10),
        ("down", "connect_refused", 20),
        ("down", "pod_reset", 10),
        ("up", None, 10),
    ]


async def test_all_attempts_of_a_request_count(known: Known, mock_clock: MockClock) -> None:
    first = AttemptOutcome("pod", "10.0.0.1:8000", "connect_refused", pod="pod-1")
    known.states.learn(record(attempts=[first, AttemptOutcome("any-pod", "10.0.0.2:8000", pod="pods.test")]))
    assert [row["state"] for row in known.rows()] == ["down"]
    assert [(row["address"], row["state"]) for row in known.rows("any-pod")] == [
        ("10.0.0.2", "up"),
        ("10.0.0.1", "unknown"),
    ]


@pytest.mark.parametrize("kind", [HandshakeTimeout, AttemptsTimeout, BadAnswer, UnwantedStatus])
async def test_an_answer_that_serves_nobody_is_the_endpoints_fault(known: Known, kind: type[HandshakeTimeout]) -> None:
    known.tried("10.0.0.1:8000", kind.reason)
    assert known.rows()[0]["state"] == "down"


# What a client does, or this machine lacks, must not make a pod look ill.
@pytest.mark.parametrize("failure", ["abandoned", PodDraining.reason, ClientGone.reason, NoDescriptor.reason])
async def test_what_says_nothing_about_an_endpoint_is_not_learnt(known: Known, failure: str) -> None:
    known.tried("10.0.0.1:8000", failure)
    assert known.rows() == []
    known.tried("10.0.0.1:8000")
    known.tried("10.0.0.1:8000", failure)
    assert [row["state"] for row in known.rows()] == ["up"]


async def test_an_attempt_that_came_to_no_endpoint_says_nothing(known: Known, mock_clock: MockClock) -> None:
    known.tried(None, "name_not_found")
    assert known.rows() == []


# ---- for how long, and how many ----


@pytest.mark.parametrize(("seconds", "left"), [(600.0, 1), (600.1, 0)])
async def test_what_nobody_tries_any_more_is_forgotten(
    known: Known, mock_clock: MockClock, seconds: float, left: int
) -> None:
    known.tried("10.0.0.1:8000")
    mock_clock.jump(500)
    known.tried("10.0.0.1:8000")
    mock_clock.jump(seconds)
    rows = known.rows()
    assert len(rows) == left
    assert all(row["since_s"] == 500 + seconds for row in rows)


async def test_only_so_many_are_remembered(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    for number in range(5):
        known.tried(f"10.0.0.{number}:8000")
    known.tried("10.0.0.4:8000", "pod_reset")
    assert [row["address"] for row in known.rows()] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]


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
    known.live["[fd00::9]:9000"] = 7
    known.tried("[fd00::9]:9000", "connect_deadline", "fixed", "fd00::9")
    [row] = known.rows("fixed")
    assert (row["address"], row["port"], row["source"]) == ("fd00::9", 9000, "literal")
    assert (row["state"], row["tunnels"]) == ("down", 7)


async def test_one_address_may_be_of_two_upstreams(known: Known, mock_clock: MockClock) -> None:
    known.tried("10.0.0.1:8000", "pod_reset")
    assert [row["state"] for row in known.rows("any-pod")] == ["unknown", "unknown"]
    assert Endpoint("pod-1", "10.0.0.1", 8000).pod == known.rows()[0]["pod"]
