from __future__ import annotations

from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from splicer.upstream.recent import SECONDS, RecentCalls

KEY = ("10.0.0.1", 8000)


@define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_too_old_takes_no_memory() -> None:
    clock = Clock()
    calls = RecentCalls(clock)
    calls.add(KEY, clock.now)
    clock.now += 600
    assert (calls.counts(), calls._by_second) == ({}, {})


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
