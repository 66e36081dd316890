from __future__ import annotations

from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from splicer.model import Endpoint
from splicer.upstream.recent import SECONDS, RecentCalls, RecentFailures

PODS = [Endpoint("any-pod", f"10.0.0.{number}", 8000) for number in range(1, 8)]
KEY = ("10.0.0.1", 8000)

some = st.lists(st.sampled_from(PODS), unique=True)


@define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@given(some, st.lists(st.tuples(st.sampled_from(PODS), st.floats(0, 2 * SECONDS), st.booleans())))
def test_what_failed_in_the_last_seconds_is_last_and_nothing_is_left_out(
    pods: list[Endpoint], events: list[tuple[Endpoint, float, bool]]
) -> None:
    clock = Clock()
    failures = RecentFailures(clock)
    failed: dict[Endpoint, float] = {}
    for pod, later, connected in events:
        clock.now += later
        if connected:
            failures.forget(pod)
            failed.pop(pod, None)
        else:
            failures.add(pod)
            failed[pod] = clock.now
    well = [pod for pod in pods if pod not in failed]
    front = pods[: pods.index(well[0])] if well else pods
    again = [pod for pod in front if clock.now - failed[pod] >= SECONDS][:1]
    behind = [pod for pod in pods if pod in failed and pod not in again]
    assert failures.last(pods) == again + well + behind
    if again:
        assert failures.last(again + well) == well + again, "it is given to one call only"


def test_dead_endpoints_come_back_one_by_one() -> None:
    clock = Clock()
    failures = RecentFailures(clock)
    for pod in PODS[:3]:
        failures.add(pod)
    clock.now += SECONDS
    assert failures.last(PODS)[0] == PODS[0]
    failures.add(PODS[0])
    assert failures.last(PODS)[0] == PODS[1]
    failures.forget(PODS[1])
    assert failures.last(PODS) == [PODS[1], *PODS[3:], PODS[0], PODS[2]]
    assert failures.last([PODS[0], PODS[2], PODS[1]]) == [PODS[2], PODS[1], PODS[0]]


def test_a_failure_is_that_of_an_address_whatever_name_it_goes_by() -> None:
    failures = RecentFailures(Clock())
    failures.add(Endpoint("voice-agent-0", "10.0.0.1", 8000))
    assert failures.last(PODS[:2]) == [PODS[1], PODS[0]]
    other = Endpoint("any-pod", "10.0.0.1", 8001)
    assert failures.last([other, PODS[1]]) == [other, PODS[1]]


def test_failures_are_bounded_and_the_oldest_goes() -> None:
    failures = RecentFailures(Clock())
    for number in range(5000):
        failures.add(Endpoint("x", f"10.1.{number >> 8}.{number & 255}", 8000))
    assert len(failures) == 4096
    first, newest = Endpoint("x", "10.1.0.0", 8000), Endpoint("x", "10.1.19.135", 8000)
    assert failures.last([newest, first]) == [first, newest]


def test_what_is_too_old_takes_no_memory() -> None:
    clock = Clock()
    failures, calls = RecentFailures(clock), RecentCalls(clock)
    failures.add(PODS[0])
    calls.add(KEY, clock.now)
    clock.now += 600
    assert failures.last(PODS) == PODS
    assert (len(failures), calls.counts(), calls._by_second) == (0, {}, {})


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 2 * SECONDS)), max_size=30))
def test_a_call_counts_for_some_seconds_from_its_beginning(calls: list[tuple[float, float]]) -> None:
    """Each call begins so long after the one before, and lasts so long."""
    clock, opened = Clock(), 100.0
    recent = RecentCalls(clock)
    spans = []
    for later, duration in calls:
        opened += later
        spans.append((opened + duration, opened))
    over: list[float] = []
    for clock.now, opened in sorted(spans):
        recent.add(KEY, opened)
        if clock.now - opened < SECONDS:
            over.append(opened)
        counted = recent.counts().get(KEY, 0)
        assert sum(clock.now - began < SECONDS for began in over) <= counted
        assert sum(clock.now - began <= SECONDS + 1 for began in over) >= counted
    clock.now += SECONDS + 1
    assert recent.counts() == {}


def test_a_call_that_lasted_is_not_counted() -> None:
    clock = Clock()
    recent = RecentCalls(clock)
    recent.add(KEY, clock.now - SECONDS)
    assert recent.counts() == {}
    recent.add(KEY, clock.now - SECONDS / 2)
    assert recent.counts() == {KEY: 1}
