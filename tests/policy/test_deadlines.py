"""The time of all attempts together."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from splicer.model import Deadlines
from splicer.policy.deadlines import AttemptBudget

seconds = st.floats(0.001, 1e6) | st.just(math.inf)
instants = st.floats(0, 1e6)


@given(attempts=seconds, stage=seconds, start=instants, later=st.floats(0, 1e6))
def test_no_stage_outlives_its_own_time_or_that_of_all(
    attempts: float, stage: float, start: float, later: float
) -> None:
    budget = AttemptBudget.start(Deadlines(attempts=attempts), start)
    now = start + later
    assert budget.until(stage, now) == min(now + stage, start + attempts)
    assert budget.is_spent(now) is (now >= start + attempts)


def test_a_pause_is_not_counted() -> None:
    budget = AttemptBudget.start(Deadlines(attempts=15), 100)
    budget.pause(7)
    assert not budget.is_spent(121.9)
    assert budget.is_spent(122)
    assert budget.until(10, 115) == 122


def test_never_is_never() -> None:
    budget = AttemptBudget.start(Deadlines(attempts=math.inf), 100)
    budget.pause(7)
    assert budget.until(math.inf, 100) == math.inf
    assert not budget.is_spent(1e300)
