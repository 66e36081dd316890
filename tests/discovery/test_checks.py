"""When endpoints are checked, and which are unhealthy; in virtual time."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import pairwise

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from splicer.discovery.checks import MOST_UNDER_WAY, Checks, Key, Target
from splicer.health import HealthCheck
from splicer.model import Endpoint

CHECK = HealthCheck("/health")
ANY = (ip_network("0.0.0.0/0"),)


def target(number: int, check: HealthCheck = CHECK, upstream: str = "pod") -> Target:
    endpoint = Endpoint(f"pod-{number}", f"10.0.{number // 250}.{number % 250}", 8000)
    return Target(upstream, endpoint, f"pod-{number}.pods.test", check)


def key(number: int) -> Key:
    return target(number).endpoint.address, 8000


@define
class Ground:
    """Endpoints and who hears of their checks. `outcomes`: of each endpoint's next checks; then the last one again."""

    nursery: trio.Nursery
    believed: dict[Key, float] = field(factory=dict)
    outcomes: dict[str, list[str]] = field(factory=dict)
    seconds: float = 0.0  # that a check takes
    begun: list[tuple[float, str]] = field(factory=list)
    most: int = 0
    under_way: int = 0
    heard: list[tuple[str, str]] = field(factory=list)
    turns: list[tuple[str, str, int, bool]] = field(factory=list)
    lates: int = 0
    changes: int = 0
    checks: Checks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.checks = Checks(
            self.probe, self, "edge-1", lambda: 0.5, self.change, self.believed, clock=trio.current_time
        )
        self.nursery.start_soon(self.checks.run)

    async def probe(self, target: Target) -> str:
        pod = target.endpoint.pod
        self.begun.append((trio.current_time(), pod))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await trio.sleep(self.seconds)
        self.under_way -= 1
        left = self.outcomes.get(pod, ["ok"])
        return left.pop(0) if len(left) > 1 else left[0]

    def change(self) -> None:
        self.changes += 1

    def checked(self, target: Target, outcome: str, seconds: float) -> None:
        assert seconds == pytest.approx(self.seconds)
        self.heard.append((target.endpoint.pod, outcome))

    def late(self) -> None:
        self.lates += 1

    def turned(self, target: Target, outcome: str, failures: int, *, healthy: bool) -> None:
        self.turns.append((target.endpoint.pod, outcome, failures, healthy))


async def test_the_first_check_comes_within_a_second_and_then_one_each_interval(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    ground = Ground(nursery)
    start = trio.current_time()
    ground.checks.want([target(number) for number in range(20)])
    await trio.sleep(1.0)
    assert len({pod for _, pod in ground.begun}) == len(ground.begun) == 20
    await trio.sleep(59.0)
    for number in range(20):
        times = [time - start for time, pod in ground.begun if pod == f"pod-{number}"]
        assert 5 <= len(times) <= 7
        assert all(after - before == pytest.approx(10.0) for before, after in pairwise(times[1:]))
    assert ground.lates == 0


async def test_thresholds_and_who_hears_of_it(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ground = Ground(nursery)
    ground.outcomes = {"pod-1": ["ok", "status", "deadline", "pod_reset", "ok", "ok"], "pod-2": ["connect_refused"]}
    ground.checks.want([target(1), target(2)])
    await trio.sleep(1.0)
    assert set(ground.checks.unhealthy()) == {key(2)}, "the first check alone"
    await trio.sleep(35.0)
    assert set(ground.checks.unhealthy()) == {key(1), key(2)}
    await trio.sleep(40.0)
    assert set(ground.checks.unhealthy()) == {key(2)}
    turns = [("pod-2", "connect_refused", 1, False), ("pod-1", "pod_reset", 3, False), ("pod-1", "ok", 2, True)]
    assert ground.turns == turns
    assert ground.changes >= 3


async def test_a_check_for_which_the_edge_lacks_something_says_nothing(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    ground = Ground(nursery)
    ground.outcomes = {"pod-1": ["no_descriptor"]}
    ground.checks.want([target(1)])
    await trio.sleep(100.0)
    assert len(ground.heard) > 8
    assert not ground.checks.unhealthy()


async def test_no_more_than_64_at_once_and_the_others_are_late(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    ground = Ground(nursery, seconds=2.0)
    ground.checks.want([target(number) for number in range(500)])
    await trio.sleep(60.0)
    assert ground.most == MOST_UNDER_WAY
    assert ground.lates
    assert len({pod for _, pod in ground.begun}) == 500, "a slow check keeps no other one away for ever"


async def test_an_address_that_may_never_be_dialled_is_not_checked(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    ground = Ground(nursery)
    forbidden = ["169.254.169.254", "127.0.0.1", "224.0.0.1", "fd00:ec2::254"]
    ground.checks.want([Target("pod", Endpoint("a", address, 80), "a", CHECK) for address in forbidden])
    ground.checks.want([Target("pod", Endpoint("a", "169.254.169.254", 80), "a", CHECK, ANY)])
    ground.checks.want([Target("pod", Endpoint("a", "10.0.0.1", 80), "a", CHECK, (ip_network("10.1.0.0/16"),))])
    await trio.sleep(30.0)
    assert ground.begun == []


async def test_an_address_is_checked_once_whatever_names_lead_there(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    ground = Ground(nursery)
    ground.checks.want([target(1), target(1, upstream="any-pod")])
    await trio.sleep(30.0)
    assert len(ground.begun) <= 4
    other = HealthCheck(interval=5.0)
    ground.begun.clear()
    ground.checks.want([target(1), target(1, other)])
    await trio.sleep(30.0)
    assert 8 <= len(ground.begun) <= 11, "each check is its own"


async def test_what_stays_keeps_its_state_and_what_leaves_loses_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    ground = Ground(nursery)
    ground.outcomes = {"pod-1": ["status"], "pod-2": ["status"]}
    ground.checks.want([target(1), target(2)])
    await trio.sleep(1.0)
    begun = len(ground.begun)
    ground.checks.want([target(1, upstream="renamed"), target(3)])
    assert set(ground.checks.unhealthy()) == {key(1)}
    await trio.sleep(1.0)
    assert [pod for _, pod in ground.begun[begun:]] == ["pod-3"], "a reload is no reason to check again"
    ground.checks.want([])
    before = len(ground.begun)
    await trio.sleep(100.0)
    assert len(ground.begun) == before
    assert not ground.checks.unhealthy()


async def test_verdicts_of_an_earlier_process_hold_and_lapse(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    now = trio.current_time()
    ground = Ground(nursery, {key(1): now + 50.0, key(2): now + 50.0, key(3): now - 1.0})
    assert set(ground.checks.unhealthy()) == {key(1), key(2)}
    ground.checks.want([target(1)])
    assert set(ground.checks.unhealthy()) == {key(1), key(2)}
    await trio.sleep(5.0)
    assert set(ground.checks.unhealthy()) == {key(1), key(2)}, "one success is not enough"
    await trio.sleep(20.0)
    assert set(ground.checks.unhealthy()) == {key(2)}
    await trio.sleep(26.0)
    assert not ground.checks.unhealthy()


async def test_a_verdict_lapses_later_with_each_failure(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ground = Ground(nursery)
    ground.outcomes = {"pod-1": ["status"]}
    ground.checks.want([target(1)])
    for _ in range(10):
        await trio.sleep(11.0)
        assert 48.0 < ground.checks.unhealthy()[key(1)] - trio.current_time() <= 60.0
