"""Who is a candidate, and who comes first."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.policy.endpoint_flags import (
    EJECTED,
    PROBATION,
    READY,
    SERVING,
    SUSPECT,
    TERMINATING,
    UNHEALTHY,
    KnownEndpoint,
    Verdict,
)
from splicer.policy.tiers import Purpose, lapse, of_pod, of_service, unfit

NOW = 1000.0
ENDING = SERVING | TERMINATING
EJECTION = Verdict(EJECTED, until=NOW + 5)
SICK = Verdict(UNHEALTHY, lapses=NOW + 59)

flags = st.integers(0, 7)
verdicts = st.builds(
    Verdict,
    st.integers(0, 127),
    until=st.floats(NOW - 100, NOW + 100),
    lapses=st.floats(NOW - 100, NOW + 100),
)


def rows(*flags: int) -> tuple[KnownEndpoint, ...]:
    return tuple(KnownEndpoint(f"pod-{n}", f"10.0.0.{n}", 80, each) for n, each in enumerate(flags))


def test_ready_ones_are_asked_and_without_any_those_that_end_but_serve() -> None:
    both = rows(READY | SERVING, ENDING, 0, SERVING, READY)
    assert of_service(both, {}, NOW).endpoints == (both[0], both[4])
    ending = rows(ENDING, 0, TERMINATING, SERVING)
    assert of_service(ending, {}, NOW).endpoints == (ending[0],)
    assert of_service(rows(0, TERMINATING), {}, NOW).endpoints == ()


def test_the_unfit_come_last_and_are_never_left_out() -> None:
    some = rows(*[READY] * 4)
    tiers = of_service(some, {("10.0.0.1", 80): EJECTION, ("10.0.0.2", 80): SICK}, NOW)
    assert (tiers.endpoints, tiers.behind) == (some, frozenset({("10.0.0.1", 80), ("10.0.0.2", 80)}))
    assert tiers.lapses == NOW + 5


def test_when_fewer_than_half_are_fit_all_are_one_tier() -> None:
    some = rows(*[READY] * 5)
    ejected = {(f"10.0.0.{n}", 80): EJECTION for n in range(3)}
    assert of_service(some, ejected, NOW).behind == frozenset()
    assert len(of_service(some[:4], dict.fromkeys(list(ejected)[:2], EJECTION), NOW).behind) == 2


@pytest.mark.parametrize(
    ("verdict", "reason", "until"),
    [
        (None, 0, math.inf),
        (Verdict(SUSPECT | PROBATION), 0, math.inf),
        (EJECTION, EJECTED, NOW + 5),
        (Verdict(EJECTED, until=NOW), 0, math.inf),
        (SICK, UNHEALTHY, NOW + 59),
        (Verdict(UNHEALTHY, lapses=NOW), 0, math.inf),
        (Verdict(UNHEALTHY | EJECTED, until=NOW, lapses=NOW + 60), UNHEALTHY, NOW + 60),
        (Verdict(UNHEALTHY | EJECTED, until=NOW + 1, lapses=NOW + 60), EJECTED, NOW + 1),
    ],
)
def test_verdicts_lapse_by_themselves(verdict: Verdict | None, reason: int, until: float) -> None:
    assert unfit(verdict, NOW) == reason
    assert lapse(verdict, NOW) == until


@given(st.lists(flags, max_size=8), st.lists(verdicts, max_size=8))
def test_the_laws_of_a_service(all_flags: list[int], judged: list[Verdict]) -> None:
    known = rows(*all_flags)
    by_key = {(f"10.0.0.{n}", 80): verdict for n, verdict in enumerate(judged)}
    tiers = of_service(known, by_key, NOW)
    assert set(tiers.endpoints) <= set(known)
    assert list(tiers.endpoints) == [row for row in known if row in tiers.endpoints]
    ready = {row for row in known if row.flags & READY}
    assert set(tiers.endpoints) == ready or not ready
    keys = {(row.address, row.port) for row in tiers.endpoints}
    assert tiers.behind <= keys
    assert 2 * len(tiers.behind) <= len(keys), "most are to be tried first"
    assert all(unfit(by_key.get(key), NOW) for key in tiers.behind)
    if tiers.lapses < math.inf:  # nothing changes by itself before
        before = of_service(known, by_key, NOW + (tiers.lapses - NOW) * 0.999)
        assert before.behind == tiers.behind
    assert tiers.lapses > NOW


@given(st.lists(flags, max_size=5), st.sampled_from(Purpose))
def test_the_laws_of_a_pod(all_flags: list[int], purpose: Purpose) -> None:
    known = rows(*all_flags)
    found = of_pod(known, purpose)
    if purpose is Purpose.REQUEST:
        assert set(found) == set(known)
    else:
        assert set(found) == {row for row in known if row.flags & (READY | SERVING)}
    readiness = [bool(row.flags & READY) for row in found]
    assert readiness == sorted(readiness, reverse=True)
