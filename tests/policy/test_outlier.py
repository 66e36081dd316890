"""Outlier detection: no schedule ejects too many endpoints, or one for ever; a success always clears."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from splicer.health import OutlierDetection
from splicer.policy.outlier import Judgement, Key, OutlierJudge, Standing, Verdict
from tests.kit.laws import examples

ENDPOINTS: list[Key] = [(f"10.0.0.{last}", 8000) for last in range(1, 6)]
ONE, TWO, THREE, FOUR, FIVE = ENDPOINTS
SETTINGS = OutlierDetection(consecutive_errors=2)
UPSTREAMS = {
    "pod": SETTINGS,
    "any": OutlierDetection(3, base_ejection_time=10.0, max_ejection_time=15.0, max_ejection_percent=20),
    "strict": OutlierDetection(1, base_ejection_time=0.5, max_ejection_time=300.0, max_ejection_percent=100),
}
LONGEST = 300.0 * 1.1


def judge(random: float = 0.0) -> OutlierJudge:
    return OutlierJudge(lambda: random)


def fail(
    judge: OutlierJudge, key: Key, times: int = 1, now: float = 0.0, using: OutlierDetection = SETTINGS
) -> Verdict:
    verdict = Verdict.COUNTED
    for _ in range(times):
        ruling = judge.error("pod", key, using, ENDPOINTS, now)
        assert ruling is not None
        verdict = ruling.verdict
    return verdict


def standings(judge: OutlierJudge) -> dict[Key, Standing]:
    return {key: judgement.standing for key, judgement in judge.judgements()}


def test_errors_in_a_row_eject() -> None:
    of = judge(0.5)
    assert fail(of, ONE) is Verdict.COUNTED
    assert standings(of) == {ONE: Standing.SUSPECT}
    ruling = of.error("pod", ONE, SETTINGS, ENDPOINTS, 7.0)
    assert ruling is not None
    assert (ruling.verdict, ruling.errors, ruling.ejections) == (Verdict.EJECTED, 2, 1)
    assert ruling.seconds == pytest.approx(31.5)
    assert dict(of.judgements()) == {ONE: Judgement(Standing.EJECTED, 7.0 + ruling.seconds, 1)}
    assert of.error("pod", ONE, SETTINGS, ENDPOINTS, 8.0) is None, "what was under way says nothing new"


def test_a_success_between_them_begins_anew() -> None:
    of = judge()
    for _ in range(5):
        assert fail(of, ONE) is Verdict.COUNTED
        assert of.success(ONE)
    assert not of.success(ONE), "nothing is left to clear"
    assert standings(of) == {}


def test_of_five_two_are_ejected_and_the_third_is_not() -> None:
    of = judge()
    assert [fail(of, key, 2) for key in (ONE, TWO, THREE)] == [Verdict.EJECTED, Verdict.EJECTED, Verdict.REFUSED]
    assert standings(of) == {ONE: Standing.EJECTED, TWO: Standing.EJECTED, THREE: Standing.SUSPECT}
    of.advance(1000.0)
    of.success(ONE)
    assert fail(of, THREE, 1, 1000.0) is Verdict.COUNTED, (
        "after ten minutes without an error the old ones are forgotten"
    )


def test_once_there_is_room_the_next_error_of_a_refused_one_ejects_it() -> None:
    of = judge()
    assert [fail(of, key, 2, now) for key, now in ((ONE, 0.0), (TWO, 20.0), (THREE, 20.0))][2] is Verdict.REFUSED
    assert of.advance(30.0) == [ONE]
    assert fail(of, THREE, 1, 30.0) is Verdict.EJECTED


@pytest.mark.parametrize("known", [[], [ONE], ENDPOINTS])
def test_one_may_always_be_ejected(known: list[Key]) -> None:
    using = OutlierDetection(1, max_ejection_percent=1)
    of = judge()
    ruling = of.error("pod", ONE, using, known, 0.0)
    assert ruling is not None
    assert ruling.verdict is Verdict.EJECTED
    assert fail(of, TWO, 1, 0.0, using) is Verdict.REFUSED or not known


def test_after_its_return_the_next_error_ejects_it_for_longer() -> None:
    of, now = judge(), 0.0
    fail(of, ONE, 2)
    for seconds in (60.0, 90.0, 120.0):
        now = of.changes_at()
        assert of.advance(now) == [ONE]
        assert standings(of) == {ONE: Standing.PROBATION}
        ruling = of.error("pod", ONE, SETTINGS, ENDPOINTS, now)
        assert ruling is not None
        assert ruling.seconds == seconds


def test_no_ejection_is_longer_than_the_longest() -> None:
    of, now = judge(), 0.0
    fail(of, ONE, 2)
    for _ in range(20):
        now = of.changes_at()
        of.advance(now)
        ruling = of.error("pod", ONE, SETTINGS, ENDPOINTS, now)
    assert ruling is not None
    assert (ruling.seconds, ruling.ejections) == (300.0, 21)


def test_time_without_an_error_makes_the_next_ejection_shorter() -> None:
    of, now = judge(), 0.0
    for _ in range(3):  # 30, 60 and 90 s
        fail(of, ONE, 2 if not now else 1, now)
        now = of.changes_at()
        of.advance(now)
    assert of.success(ONE)
    of.advance(now + 30.0)
    ruling = [of.error("pod", ONE, SETTINGS, ENDPOINTS, now + 30.0) for _ in range(2)][1]
    assert ruling is not None
    assert ruling.ejections == 3, "it would be the fourth"


def test_probation_ends_without_any_request() -> None:
    of = judge()
    fail(of, ONE, 2)
    assert of.advance(30.0) == [ONE]
    of.advance(59.0)
    assert standings(of) == {ONE: Standing.PROBATION}
    of.advance(60.0)
    assert standings(of) == {}
    assert of.changes_at() == math.inf


def test_each_upstream_counts_by_its_own_and_an_ejection_is_everybodys() -> None:
    of, patient = judge(), OutlierDetection(3)
    assert of.error("any", ONE, patient, ENDPOINTS, 0.0) is not None
    assert fail(of, ONE) is Verdict.COUNTED
    assert fail(of, ONE) is Verdict.EJECTED
    assert of.error("any", ONE, patient, ENDPOINTS, 0.0) is None
    of.advance(40.0)
    ruling = of.error("any", ONE, patient, ENDPOINTS, 40.0)
    assert ruling is not None
    assert ruling.verdict is Verdict.EJECTED


def test_a_new_pod_at_the_address_has_no_past() -> None:
    of = judge()
    fail(of, ONE, 2)
    of.forget(ONE)
    of.forget(ONE)
    assert standings(of) == {}
    assert fail(of, ONE) is Verdict.COUNTED


def test_what_an_earlier_judge_has_decided_goes_on() -> None:
    before = judge()
    fail(before, ONE, 2)
    before.advance(30.0)
    fail(before, TWO, 2, 30.0)
    fail(before, ONE, 1, 31.0)
    fail(before, THREE, 1, 31.0)
    of = judge()
    for key, judgement in before.judgements():
        of.restore(key, judgement, 40.0)
    assert standings(of) == {ONE: Standing.EJECTED, TWO: Standing.EJECTED}
    assert of.changes_at() == 60.0
    assert of.advance(60.0) == [TWO]
    ruling = of.error("pod", TWO, SETTINGS, ENDPOINTS, 60.0)
    assert ruling is not None
    assert (ruling.verdict, ruling.ejections) == (Verdict.EJECTED, 2)
    after = judge()
    for key, judgement in of.judgements():
        after.restore(key, judgement, 61.0)
    assert dict(after.judgements()) == dict(of.judgements())


def test_memory_is_bounded_and_no_ejection_is_lost_for_it() -> None:
    of = judge()
    fail(of, ONE, 2)
    for number in range(5000):
        of.error("pod", ("10.1.0.1", number), SETTINGS, (), 0.0)
    kept = standings(of)
    assert len(kept) == 4096
    assert kept[ONE] is Standing.EJECTED
    assert ("10.1.0.1", 4999) in kept


class Machine(RuleBasedStateMachine):
    """Reports in any order, at any time, by upstreams with different settings and views of what is known."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.judge = OutlierJudge(lambda: 1.0)
        self.last_error = -math.inf

    def ejected(self) -> set[Key]:
        return {key for key, judgement in self.judge.judgements() if judgement.standing is Standing.EJECTED}

    @rule(
        upstream=st.sampled_from(sorted(UPSTREAMS)),
        key=st.sampled_from(ENDPOINTS),
        known=st.frozensets(st.sampled_from(ENDPOINTS)),
    )
    def error(self, upstream: str, key: Key, known: frozenset[Key]) -> None:
        before, using = self.ejected(), UPSTREAMS[upstream]
        ruling = self.judge.error(upstream, key, using, known, self.now)
        after = self.ejected()
        assert after - before <= {key}
        assert before <= after
        self.last_error = self.now
        if ruling is None:
            assert key in before
        elif ruling.verdict is Verdict.EJECTED:
            ours = {*known, key}
            assert key in after - before
            assert len(after & ours) <= max(1, using.max_ejection_percent * len(ours) // 100)
            assert 0 < ruling.seconds <= using.max_ejection_time * 1.1
        else:
            assert after == before
            assert standings(self.judge)[key] in (Standing.SUSPECT, Standing.PROBATION)

    @rule(key=st.sampled_from(ENDPOINTS))
    def success(self, key: Key) -> None:
        before = self.ejected()
        self.judge.success(key)
        assert self.ejected() == before, "an ejection goes on to its end"
        if key not in before:
            assert key not in standings(self.judge)

    @rule(key=st.sampled_from(ENDPOINTS))
    def replaced(self, key: Key) -> None:
        self.judge.forget(key)
        assert key not in standings(self.judge)

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 29.0, 61.0, 400.0, 2000.0]))
    def time_passes(self, seconds: float) -> None:
        before, self.now = self.ejected(), self.now + seconds
        assert set(self.judge.advance(self.now)) == before - self.ejected()

    @rule()
    def judge_dies(self) -> None:
        before, ejected = self.judge, self.ejected()
        self.judge = OutlierJudge(lambda: 1.0)
        for key, judgement in before.judgements():
            self.judge.restore(key, judgement, self.now)
        assert self.ejected() == ejected

    @invariant()
    def every_ejection_has_an_end(self) -> None:
        for _, judgement in self.judge.judgements():
            if judgement.standing is Standing.EJECTED:
                assert self.now < judgement.until <= self.now + LONGEST
        assert self.judge.changes_at() > self.now

    def teardown(self) -> None:
        for _ in range(10_000):
            if self.judge.changes_at() == math.inf:
                break
            assert self.judge.changes_at() > self.now
            self.now = self.judge.changes_at()
            self.judge.advance(self.now)
        assert self.judge.changes_at() == math.inf
        assert standings(self.judge) == {}, "without requests everything is forgotten"


TestAnySchedule = Machine.TestCase
TestAnySchedule.settings = settings(max_examples=examples(40), stateful_step_count=40, deadline=None)
