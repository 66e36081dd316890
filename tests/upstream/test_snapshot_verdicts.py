"""Verdicts of the snapshot at the endpoints of upstreams with discovery: who is refused, and who comes last."""

from __future__ import annotations

import pytest
from attrs import evolve

from splicer.endpoint_errors import PodEjected, PodUnhealthy
from splicer.policy.endpoint_flags import EJECTED, UNHEALTHY, Verdict
from splicer.upstream.balance import Balancer
from splicer.upstream.endpoints import Endpoints
from tests.upstream.snapshots import found, row
from tests.upstream.test_snapshot_source import AGENTS, ANY, CALL, HOST, JUDGED, KEY, MENDED, POD, REQUEST, Stage, pod


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_an_unfit_pod_is_refused_if_the_fallback_is_there(stage: Stage) -> None:
    verdicts = {("10.0.0.2", 8000): Verdict(EJECTED, until=1010.0)}
    stage.snapshot.publish({KEY: AGENTS}, verdicts)
    for purpose in (CALL, REQUEST):
        assert await stage.addresses(POD, pod("agent-1"), purpose) == ["10.0.0.2"]
    with pytest.raises(PodEjected) as refused:
        await stage.addresses(POD, pod("agent-1"), MENDED)
    assert (refused.value.endpoint, refused.value.pod) == ("10.0.0.2:8000", "agent-1")
    stage.now = 1010.0
    assert await stage.addresses(POD, pod("agent-1"), MENDED) == ["10.0.0.2"]
    stage.snapshot.publish({KEY: AGENTS}, {("10.0.0.2", 8000): Verdict(UNHEALTHY, lapses=1069.0)})
    with pytest.raises(PodUnhealthy):
        await stage.addresses(POD, pod("agent-1"), MENDED)


async def test_a_pod_with_two_addresses_is_refused_for_both_alone(stage: Stage) -> None:
    bad = Verdict(EJECTED, until=1010.0)
    stage.snapshot.publish({KEY: AGENTS}, {("10.0.0.1", 8000): bad})
    assert await stage.addresses(POD, pod("agent-0"), MENDED) == ["10.0.0.1", "fd00::1"]
    stage.snapshot.publish({KEY: AGENTS}, {("10.0.0.1", 8000): bad, ("fd00::1", 8000): bad})
    with pytest.raises(PodEjected):
        await stage.addresses(POD, pod("agent-0"), MENDED)


async def test_the_unfit_are_tried_last_and_take_no_turns(stage: Stage) -> None:
    rows = [row(f"agent-{n}", f"10.0.0.{n}") for n in range(5)]
    bad = {("10.0.0.1", 8000): Verdict(EJECTED, until=1010.0), ("10.0.0.3", 8000): Verdict(EJECTED, until=1020.0)}
    stage.snapshot.publish({KEY: found(*rows)}, bad)
    endpoints = Endpoints(stage.source, Balancer(clock=lambda: 0.0))
    orders = []
    for _ in range(6):
        choice = endpoints.at_hand(ANY, HOST, frozenset())
        assert choice is not None
        orders.append([endpoint.pod for endpoint in choice.endpoints])
    assert all(set(order[3:]) == {"agent-1", "agent-3"} for order in orders)
    assert [order[0] for order in orders].count("agent-0") == 2
    stage.now = 1010.0
    choice = endpoints.at_hand(ANY, HOST, frozenset())
    assert choice is not None
    assert choice.endpoints[4].pod == "agent-3", "the other one is back, though nobody has said so"


async def test_an_upstream_that_is_not_judged_obeys_nobody(stage: Stage) -> None:
    rows = [row(f"agent-{n}", f"10.0.0.{n}") for n in range(5)]
    stage.snapshot.publish({KEY: found(*rows)}, {("10.0.0.1", 8000): Verdict(EJECTED, until=1010.0)})
    behind = []
    for judged in (JUDGED, None, JUDGED):
        choice = stage.source.at_hand(evolve(ANY, outlier_detection=judged), HOST)
        assert choice is not None
        behind.append(choice.behind)
    assert behind == [{("10.0.0.1", 8000)}, set(), {("10.0.0.1", 8000)}]
    plain = evolve(POD, outlier_detection=None)
    assert await stage.addresses(plain, pod("agent-1"), MENDED) == ["10.0.0.1"]
