from __future__ import annotations

import json
from array import array

from hypothesis import given
from hypothesis import strategies as st

from bench.traffic.echo import Closed, Mismatch
from bench.traffic.outcome import Outcome, merged, percentiles


def test_percentiles() -> None:
    told = percentiles([number * 1e-6 for number in range(1, 1001)])
    assert told == {"p50": 500.0, "p99": 990.0, "p999": 999.0, "max": 1000.0}


@given(st.lists(st.floats(0, 10), min_size=1))
def test_percentiles_are_among_the_values_and_ordered(values: list[float]) -> None:
    told = list(percentiles(sorted(values)).values())
    assert told == sorted(told)
    assert {*told} <= {round(value * 1e6, 1) for value in values}


def test_what_ended_a_tunnel() -> None:
    outcome = Outcome()
    outcome.lost(Mismatch("wrong"))
    outcome.lost(Closed())
    assert (outcome.errors, outcome.mismatches, outcome.why) == (1, 1, "wrong")


def test_what_is_not_measured_is_not_told() -> None:
    assert set(Outcome().as_json()) == {"seconds", "count", "errors", "mismatches", "cpu", "why"}


def test_several_processes_are_one() -> None:
    one = Outcome(1.0, 10, 1, 2, 0.5, "", array("d", [1.0]), late=1, missing=2, stall_ms=3.0, priority=True, bytes=4)
    two = Outcome(
        1.5, 20, 3, 4, 0.5, "why", array("d", [2.0]), late=5, missing=6, stall_ms=1.0, priority=False, bytes=7
    )
    told = json.loads(json.dumps(merged([one, two]).as_json()))
    assert told == {
        "seconds": 1.5,
        "count": 30,
        "errors": 4,
        "mismatches": 6,
        "cpu": 1.0,
        "why": "why",
        "late": 6,
        "missing": 8,
        "stall_ms": 3.0,
        "priority": False,
        "bytes": 11,
        "latency_us": {"p50": 1e6, "p99": 2e6, "p999": 2e6, "max": 2e6},
    }
