import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.interval import LEAST_PAIRS, _outside, ratio_of

NUMBERS = st.floats(0.01, 100)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=LEAST_PAIRS, max_size=25)


# Two-sided, 5 %: F. Wilcoxon, "Individual comparisons by ranking methods" (1945), and any table since.
@pytest.mark.parametrize(("count", "critical"), [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (15, 25), (20, 52), (25, 89)])
def test_the_critical_values_are_those_of_the_tables(count: int, critical: int) -> None:
    assert _outside(count) == critical


@given(PAIRS)
def test_the_ratio_is_within_its_interval_and_that_within_the_extremes(pairs: list[tuple[float, float]]) -> None:
    its = ratio_of(pairs)
    ratios = [second / first for first, second in pairs]
    ordered = [min(ratios), its.low, its.ratio, its.high, max(ratios)]
    assert all(one <= other * (1 + 1e-9) for one, other in pairwise(ordered))


@given(PAIRS)
def test_the_other_way_round_it_is_the_reciprocal(pairs: list[tuple[float, float]]) -> None:
    there, back = ratio_of(pairs), ratio_of([(second, first) for first, second in pairs])
    assert (back.ratio, back.low, back.high) == pytest.approx((1 / there.ratio, 1 / there.high, 1 / there.low))


@given(PAIRS, NUMBERS)
def test_what_takes_so_many_times_more_has_so_many_times_the_ratio(pairs: list[tuple[float, float]], by: float) -> None:
    once, more = ratio_of(pairs), ratio_of([(first, second * by) for first, second in pairs])
    assert (more.ratio, more.low, more.high) == pytest.approx((once.ratio * by, once.low * by, once.high * by))


def test_one_wild_round_of_twenty_moves_little() -> None:
    calm = [(1.0, 1.02 + 0.001 * number) for number in range(20)]
    wild = [*calm[:-1], (1.0, 50.0)]
    assert ratio_of(wild).ratio == pytest.approx(ratio_of(calm).ratio, rel=0.01)
    assert ratio_of(wild).low == pytest.approx(ratio_of(calm).low, rel=0.01)


@pytest.mark.parametrize("pairs", [[(1.0, 1.0)] * (LEAST_PAIRS - 1), [(1.0, 0.0)] * 9, [(math.inf, 1.0)] * 9])
def test_what_has_no_ratio_is_refused(pairs: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match=r"pairs|above 0"):
        ratio_of(pairs)
