"""Rates and quantiles of the last ten seconds."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

from splicer.admin.rates import Look, Window, look


def window(*looks: Look) -> Window:
    made = Window()
    for each in looks:
        made.add(each)
    return made


def test_what_a_look_sums_up() -> None:
    requests = CounterMetricFamily("splicer_requests", "", labels=("route", "method", "status"))
    for labels, value in {("a", "GET", "2xx"): 5, ("a", "POST", "5xx"): 2, ("b", "GET", "5xx"): 1}.items():
        requests.add_metric(labels, value)
    durations = HistogramMetricFamily("splicer_request_duration_seconds", "", labels=("route",))
    durations.add_metric(("a",), [("0.1", 3.0), ("+Inf", 7.0)], 1.0)
    attempts = CounterMetricFamily("splicer_attempts", "", labels=("route", "upstream", "outcome"))
    attempts.add_metric(("a", "up", "ok"), 5)
    attempts.add_metric(("a", "up", "connect_refused"), 2)
    found = look(3.0, {metric.name: metric for metric in (requests, durations, attempts)})
    assert (found.requests, found.errors) == (Counter(a=7, b=1), Counter(a=2, b=1))
    assert found.buckets == Counter({("a", 0.1): 3, ("a", float("inf")): 7})
    assert found.failures == Counter(up=2)


def test_a_rate_is_over_the_last_ten_seconds() -> None:
    made = window(*(Look(float(second), requests=Counter(a=second * 3)) for second in range(30)))
    assert (made.seconds, made.per_second("requests", "a"), made.per_second("requests", "b")) == (10.0, 3.0, 0.0)
    assert made.per_second("requests", "a", "b") == 3.0
    made.clear()
    assert (made.seconds, made.per_second("requests", "a"), made.quantile("a", 0.5)) == (0.0, 0.0, None)


def test_one_look_gives_no_rate() -> None:
    assert window(Look(1.0, requests=Counter(a=100))).per_second("requests", "a") == 0.0


def test_a_count_that_falls_is_no_negative_rate() -> None:
    made = window(Look(0.0, requests=Counter(a=9)), Look(1.0, requests=Counter(a=1)))
    assert made.per_second("requests", "a") == 0.0


@pytest.mark.parametrize(("share", "expected"), [(0.25, 0.05), (0.5, 0.1), (0.75, 0.15), (1.0, 0.2)])
def test_a_quantile_is_within_its_bucket(share: float, expected: float) -> None:
    before = Counter({("a", 0.1): 5, ("a", 0.2): 5, ("a", float("inf")): 5})
    after = Counter({("a", 0.1): 15, ("a", 0.2): 25, ("a", float("inf")): 25})
    made = window(Look(0.0, buckets=before), Look(1.0, buckets=after))
    assert made.quantile("a", share) == pytest.approx(expected)
    assert made.quantile("b", share) is None


def test_what_is_beyond_the_last_bound_is_at_least_that() -> None:
    after = Counter({("a", 0.1): 0, ("a", float("inf")): 3})
    assert window(Look(0.0), Look(1.0, buckets=after)).quantile("a", 0.5) == 0.1


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=6),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
)
def test_a_higher_quantile_is_no_less(steps: list[int], one: float, other: float) -> None:
    counts, total = Counter[tuple[str, float]](), 0
    for index, step in enumerate(steps):
        total += step
        counts["a", float("inf") if index == len(steps) - 1 else (index + 1) / 10] = total
    made = window(Look(0.0), Look(1.0, buckets=counts))
    low, high = (made.quantile("a", share) for share in sorted((one, other)))
    assert (low is None) == (high is None) == (total == 0)
    if low is not None and high is not None:
        assert 0 <= low <= high <= (len(steps) - 1) / 10
