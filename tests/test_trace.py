from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from splicer.trace import is_sampled


@given(st.integers(0, 2**128 - 1), st.floats(0, 1))
def test_the_decision_is_that_of_opentelemetry(number: int, share: float) -> None:
    theirs = TraceIdRatioBased(share).should_sample(None, number, "a name").decision is Decision.RECORD_AND_SAMPLE
    assert is_sampled(f"{number:032x}", share) == theirs


@pytest.mark.parametrize("trace_id", ["0" * 32, "f" * 32, "0" * 16 + "f" * 16])
def test_none_and_all(trace_id: str) -> None:
    assert not is_sampled(trace_id, 0.0)
    assert is_sampled(trace_id, 1.0)
