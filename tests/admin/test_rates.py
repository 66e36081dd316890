"""Rates and quantiles of the last ten seconds."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.admin.rates import LOOKED_AT, Look, Window, look
from splicer.admin.tallies import Tally


def window(*looks: Look) -> Window:
    made = Window()
    for each in looks:
        made.add(each)
    return made


def tallies(name: str, labels: tuple[str, ...], values: dict[tuple[str, ...], float]) -> list[Tally]:
    return [Tally(name, dict(zip(labels, its, strict=True)), value) for its, value in values.items()]


def test_what_a_look_sums_up() -> None:
    told = [
        *tallies(
            "splicer_requests_total",
            ("route", "method", "status"),
            {("a", "GET", "2xx"): 5, ("a", "POST", "5xx"): 2, ("b", "GET", "5xx"): 1},
        ),
        *tallies(
            "splicer_request_duration_seconds_bucket",
            ("route", "le"),
            {("a", "+Inf"): 4, ("a", "0.1"): 3, ("b", "0.1"): 9, ("a", "0.2"): 0},
        ),
        *tallies(
            "splicer_attempts_total",
            ("route", "upstream", "outcome"),
            {("a", "up", "ok"): 5, ("a", "up", "connect_refused"): 2},
        ),
        *tallies("splicer_fallbacks_total", ("route", "reason"), {("a", "deadline"): 1, ("a", "reset"): 2}),
        *tallies("splicer_tunnels_total", ("route", "pod"), {("a", "pod-1"): 4}),
    ]
    assert {tally.name for tally in told} == LOOKED_AT
    found = look(3.0, told * 2)  # two processes
    assert (found.requests, found.errors) == (Counter(a=14, b=2), Counter(a=4, b=2))
    assert found.buckets == {("a", 0.1): 6, ("a", 0.2): 6, ("a", float("inf")): 14, ("b", 0.1): 18}
    assert (found.failures, found.fallbacks) == (Counter(up=4), Counter(a=6))
    assert found.calls == Counter({("a", "pod-1"): 8})


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
