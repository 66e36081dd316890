"""Token buckets: what any schedule may take, and what is forgotten when there are too many keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.policy.buckets import Buckets

PAUSES = st.lists(st.floats(0, 5) | st.just(0.0), max_size=80)
STARTS = st.sampled_from([0.0, 1e6])  # seconds since a machine has started


@given(start=STARTS, pauses=PAUSES, interval=st.floats(0.001, 3), burst=st.floats(1, 20))
def test_in_no_time_more_than_the_burst_and_the_rate_are_taken(
    start: float, pauses: list[float], interval: float, burst: float
) -> None:
    buckets, now, taken = Buckets(), start, list[float]()
    for pause in pauses:
        now += pause
        if not buckets.take("me", now, interval, burst):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) / interval + 0.01


@given(start=STARTS, pauses=PAUSES, interval=st.floats(0.01, 3), burst=st.floats(1, 20))
def test_who_is_refused_is_told_when_to_come_again(
    start: float, pauses: list[float], interval: float, burst: float
) -> None:
    buckets, now = Buckets(), start
    for pause in pauses:
        now += pause
        wait = buckets.take("me", now, interval, burst)
        assert 0 <= wait <= interval + 1e-6
        if wait:
            assert buckets.take("me", now + wait / 2, interval, burst), "to ask again in vain costs nothing"
            now += wait
            assert not buckets.take("me", now, interval, burst)


@given(start=STARTS, count=st.integers(1, 200), interval=st.floats(0.001, 3600))
def test_who_keeps_to_the_rate_is_never_refused(start: float, count: int, interval: float) -> None:
    buckets = Buckets()
    assert not any(buckets.take("me", start + number * interval, interval, 1) for number in range(count))


def test_each_key_has_its_own() -> None:
    buckets = Buckets()
    assert [buckets.take(key, 0.0, 10.0, 2) for key in "aabbaab"] == [0, 0, 0, 0, 10, 10, 10]


@pytest.mark.parametrize("most", [1, 7, 8, 100])
def test_so_many_keys_are_remembered(most: int) -> None:
    buckets = Buckets(most)
    for number in range(5 * most):
        assert not buckets.take(number, 0.0, 1.0, 1)
        assert len(buckets) == min(number + 1, most)
        assert buckets.take(number, 0.0, 1.0, 1), "the newest is"


# A client with many addresses, or with as many header values as it likes, must not win back its own burst by them.
@pytest.mark.parametrize("most", [16, 100, 1000])
def test_an_empty_bucket_outlives_any_number_of_new_keys(most: int) -> None:
    buckets = Buckets(most)
    for _ in range(5):
        buckets.take("me", 0.0, 60.0, 5)
    for number in range(10 * most):
        buckets.take(number, 1.0, 60.0, 5)
        assert buckets.take("me", 1.0, 60.0, 5)


def test_what_is_full_again_goes_first() -> None:
    buckets = Buckets(8)
    for number in range(8):
        buckets.take(number, 0.0, 1.0 if number == 5 else 100.0, 1)
    buckets.take("new", 2.0, 100.0, 1)
    assert [number for number in range(8) if not buckets.take(number, 2.0, 100.0, 1)] == [5]
