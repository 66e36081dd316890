"""What loads count as while some pods are new."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.policy.slow_start import slowed

OLD = math.inf
ages = st.just(OLD) | st.floats(0, 100)


def test_a_new_one_is_as_busy_as_the_others_and_less_so_with_time() -> None:
    loads = [20, 20, 20, 0]
    assert [slowed(loads, [OLD, OLD, OLD, age], 60)[3] for age in (0, 15, 30, 45, 60, 100)] == [20, 15, 10, 5, 0, 0]


def test_its_own_calls_count_besides() -> None:
    assert slowed([20, 20, 4], [OLD, OLD, 30], 60) == [20, 20, 14]


def test_nobody_is_new_or_nobody_else_is_there() -> None:
    assert slowed([3, 1], [OLD, 60], 60) == [3, 1]
    assert slowed([7], [0], 60) == [7]
    assert slowed([], [], 60) == []


@given(st.lists(st.tuples(st.integers(0, 1000), ages), max_size=6), st.floats(1, 60))
def test_laws(pods: list[tuple[int, float]], window: float) -> None:
    loads, since = [load for load, _ in pods], [age for _, age in pods]
    found = slowed(loads, since, window)
    others = [(sum(loads) - load) / max(1, len(loads) - 1) for load in loads]
    for load, age, weight, mean in zip(loads, since, found, others, strict=True):
        assert load <= weight <= load + mean * (1 + 1e-9)
        assert age < window or weight == load
    later = slowed(loads, [age + 1 for age in since], window)
    assert all(after <= before for after, before in zip(later, found, strict=True))


@pytest.mark.parametrize("age", [-5.0, -0.001])
def test_a_clock_that_is_a_little_behind_makes_nobody_busier(age: float) -> None:
    assert slowed([10, 0], [OLD, age], 60) == [10, 10]
