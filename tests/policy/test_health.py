"""Health checks: thresholds, and when each endpoint is checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.health import HealthCheck
from splicer.policy.health import Health, first_check, lapse_seconds, next_check, phase

CHECK = HealthCheck("/health")


def course(results: str, check: HealthCheck = CHECK) -> str:
    """For each check ("." passed, "x" failed) whether the endpoint is healthy after it."""
    health, states = Health(), []
    for result in results:
        before = health.healthy
        assert health.learn(check, passed=result == ".") is (health.healthy is not before)
        states.append("." if health.healthy else "x")
    return "".join(states)


@pytest.mark.parametrize(
    ("results", "states"),
    [
        ("x", "x"),  # the first check alone takes it out
        ("x.", "xx"),
        ("x..", "xx."),
        ("x.x..", "xxxx."),
        (".x", ".."),
        (".xxx", "...x"),
        (".xx.xx", "......"),
        (".xxx.x..", "...xxxx."),
        ("x..xxx", "xx...x"),
    ],
)
def test_thresholds(results: str, states: str) -> None:
    assert course(results) == states


@given(st.text(".x", min_size=1, max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_only_a_row_of_results_changes_it(results: str, fall: int, rise: int) -> None:
    check = HealthCheck("/", unhealthy_threshold=fall, healthy_threshold=rise)
    states = course(results, check)
    for end, (before, after) in enumerate(zip("." + states, states, strict=False)):
        if before == after:
            continue
        row = rise if after == "." else 1 if end == 0 else fall
        assert results[end + 1 - row : end + 1] == after * row
    if len(results) > fall and results.endswith("x" * fall):
        assert states[-1] == "x"
    if results.endswith("." * rise):
        assert states[-1] == "."


ENDPOINTS = [(f"10.4.{high}.{low}", 8000) for high in range(2) for low in range(250)]


def test_checks_of_many_endpoints_are_spread() -> None:
    times: list[float] = []
    for place, (address, port) in enumerate(ENDPOINTS):
        own, now = phase(address, port, "edge-1"), 1000.0
        assert 0 <= first_check(now, own) - now < 1
        for _ in range(5):
            now = next_check(now, CHECK, own, place % 7 / 6)
            times.append(now)
    times.sort()
    spans = [round(time / 0.05) for time in times if 1020 < time < 1040]
    busiest = max(spans.count(span) for span in set(spans))
    assert busiest <= 12, "the mean is 2.5, and a second edge must not be able to add its own on top"


def test_two_edges_check_the_same_endpoint_at_different_times() -> None:
    apart = [abs(phase(*endpoint, "edge-1") - phase(*endpoint, "edge-2")) for endpoint in ENDPOINTS]
    assert 0.25 < sum(apart) / len(apart) < 0.42


@given(
    start=st.floats(0, 1e6),
    own=st.floats(0, 1, exclude_max=True),
    random=st.lists(st.floats(0, 1), min_size=2, max_size=20),
    interval=st.floats(1, 600),
)
def test_the_time_between_two_checks(start: float, own: float, random: list[float], interval: float) -> None:
    check = HealthCheck("/", interval=interval)
    first = next_check(start, check, own, random[0])
    assert start < first <= start + 1.56 * interval
    now = first
    for number in random[1:]:
        before, now = now, next_check(now, check, own, number)
        assert 0.899 * interval <= now - before <= 1.101 * interval


def test_a_verdict_lapses() -> None:
    assert [lapse_seconds(HealthCheck("/", interval=seconds)) for seconds in (1.0, 20.0, 30.0)] == [60, 60, 90]
