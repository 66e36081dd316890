from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.discovery.backoff import Backoff
from tests.kit.laws import examples


@settings(max_examples=examples(30))
@given(st.integers())
def test_pauses_grow_up_to_a_bound(seed: int) -> None:
    backoff = Backoff(random.Random(seed))
    now = 0.0
    for base in (0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30):
        pause = backoff.pause(now)
        assert base <= pause < 2 * base
        now += pause


def test_two_minutes_without_a_failure_begin_anew() -> None:
    backoff = Backoff(random.Random(1))
    ended = sum((backoff.pause(0.0), backoff.pause(0.0)))
    assert backoff.pause(ended + 1) >= 3.2
    assert backoff.pause(1000.0) < 1.6
