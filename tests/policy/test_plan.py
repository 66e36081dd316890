"""Which failures another attempt may mend, which requests may have one, and in which steps."""

from __future__ import annotations

from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from splicer import errors
from splicer.limit_errors import EndpointFull
from splicer.model import Upstream
from splicer.policy.plan import IDEMPOTENT, Left, Plan, Progress, Step, may_ride_idle, may_try_again
from splicer.routing.template import parse_template

MENDABLE = [
    errors.NameNotFound("x"),
    errors.ResolveFailed("x"),
    errors.ResolveTimeout("x"),
    errors.NoEndpoint("x"),
    errors.ConnectRefused("x"),
    errors.ConnectFailed("x"),
    errors.ConnectTimeout("x"),
    errors.PodReset("x"),
    errors.PodClosed("x"),
    errors.HandshakeTimeout("x"),
    errors.UnwantedStatus(503),
    EndpointFull("x"),
]
FINAL = [
    errors.BadAnswer("x"),
    errors.AddressNotAllowed("x"),
    errors.AttemptsTimeout("x"),
    errors.ResponseTimeout("x"),
    errors.NoDescriptor("x"),
    errors.Draining("x"),
    errors.BadRequest("x"),
    errors.BadCapture("x"),
    errors.ClientGone("x"),
    errors.BodyTooLarge("x"),
]
METHODS = st.sampled_from(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "POST", "PATCH", "get", "PURGE"])


@pytest.mark.parametrize("failure", MENDABLE, ids=lambda failure: failure.reason)
def test_what_another_pod_could_mend(failure: errors.SplicerError) -> None:
    assert may_try_again(failure, "GET", written=True, repeatable=True)


@given(failure=st.sampled_from(FINAL), method=METHODS, written=st.booleans(), repeatable=st.booleans())
def test_what_no_other_pod_could_mend(
    failure: errors.SplicerError, method: str, written: bool, repeatable: bool
) -> None:
    assert not may_try_again(failure, method, written=written, repeatable=repeatable)


@given(failure=st.sampled_from(MENDABLE), method=METHODS, repeatable=st.booleans())
def test_what_no_pod_has_seen_may_always_be_tried_again(
    failure: errors.SplicerError, method: str, repeatable: bool
) -> None:
    assert may_try_again(failure, method, written=False, repeatable=repeatable)


@given(failure=st.sampled_from(MENDABLE), method=METHODS, repeatable=st.booleans())
def test_what_a_pod_has_seen_is_sent_again_only_if_twice_is_as_good_as_once_and_all_of_it_is_there(
    failure: errors.SplicerError, method: str, repeatable: bool
) -> None:
    expected = repeatable and method in {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"}
    assert may_try_again(failure, method, written=True, repeatable=repeatable) is expected


@given(method=METHODS, has_body=st.booleans())
def test_only_what_can_be_sent_again_rides_an_idle_connection(method: str, has_body: bool) -> None:
    assert may_ride_idle(method, has_body=has_body) is (method in IDEMPOTENT and not has_body)
    if may_ride_idle(method, has_body=has_body):
        assert may_try_again(errors.PodClosed("x"), method, written=True, repeatable=True)


# ---- the plan ----

FIRST = Upstream("app", parse_template("app.test"), 80)
FALLBACK = Upstream("spare", parse_template("spare.test"), 80)
FAILURES = st.sampled_from(MENDABLE + FINAL)
BROKEN = [failure for failure in MENDABLE if isinstance(failure, (errors.PodReset, errors.PodClosed))]
PLANS = st.builds(Plan, st.just(FIRST), st.sampled_from([None, FALLBACK]), st.booleans(), st.integers(0, 5))
WITHOUT_RETRIES = st.builds(Plan, st.just(FIRST), st.sampled_from([None, FALLBACK]), st.booleans())


@st.composite
def progresses(draw: st.DrawFn, plan: Plan) -> Progress:
    """What may be the case when a request of this plan fails: idle connections are for what can be sent again."""
    method = draw(st.sampled_from(sorted(IDEMPOTENT)) if plan.reusable else METHODS)
    written, repeatable, answered, spent, unheard = (draw(st.booleans()) for _ in range(5))
    left = draw(st.sampled_from(Left))
    return Progress(method, written, repeatable or plan.reusable, answered, spent, unheard, left)


def walk(data: st.DataObject, plan: Plan) -> list[tuple[Step, errors.SplicerError | None, Progress | None]]:
    """The steps until nothing follows, each with what led to it."""
    steps: list[tuple[Step, errors.SplicerError | None, Progress | None]] = [(plan.first, None, None)]
    while len(steps) < 100:
        failure, progress = data.draw(FAILURES), data.draw(progresses(plan))
        following = plan.after(steps[-1][0], failure, progress)
        if following is None:
            break
        steps.append((following, failure, progress))
    return steps


@given(data=st.data(), plan=PLANS)
def test_every_walk_ends_and_each_upstream_has_its_attempts_before_the_next(data: st.DataObject, plan: Plan) -> None:
    steps = [step for step, _, _ in walk(data, plan)]
    attempts = [step.upstream for step in steps if not step.again]
    assert attempts == [FIRST] * attempts.count(FIRST) + [FALLBACK] * attempts.count(FALLBACK)
    assert 1 <= attempts.count(FIRST) <= 1 + plan.retries
    assert attempts.count(FALLBACK) <= (1 + plan.retries if plan.fallback else 0)
    assert [step.fallback for step in steps] == [step.upstream is FALLBACK for step in steps]
    assert len(steps) <= 2 * len(attempts)


@given(data=st.data(), plan=PLANS)
def test_a_retry_goes_to_another_endpoint_or_once_to_the_only_one(data: st.DataObject, plan: Plan) -> None:
    for (before, _, _), (step, failure, progress) in pairwise(walk(data, plan)):
        if step.upstream is before.upstream and not step.again:
            assert progress is not None
            assert step.retries == before.retries + 1 <= plan.retries
            assert progress.left is (Left.SAME if step.same else Left.OTHER)
            assert not (step.same and before.same)
            assert not isinstance(failure, (errors.NameNotFound, errors.ResolveFailed, errors.NoEndpoint))
            assert not isinstance(failure, (errors.PodDraining, EndpointFull))
        elif not step.again:
            assert (step.retries, step.same) == (0, False)


@given(data=st.data(), plan=WITHOUT_RETRIES)
def test_without_retries_each_upstream_has_one_attempt(data: st.DataObject, plan: Plan) -> None:
    steps = [step for step, _, _ in walk(data, plan)]
    attempts = [step.upstream for step in steps if not step.again]
    assert attempts in ([FIRST], [FIRST, FALLBACK])
    assert attempts == [FIRST] or plan.fallback is FALLBACK
    assert [step.fallback for step in steps] == [step.upstream is FALLBACK for step in steps]
    assert len(steps) <= 2 * len(attempts)


@given(data=st.data(), plan=PLANS)
def test_a_dead_idle_connection_is_replaced_once_within_its_attempt(data: st.DataObject, plan: Plan) -> None:
    steps = walk(data, plan)
    for (before, _, _), (step, failure, progress) in pairwise(steps):
        if step.again:
            assert (before.reusable, before.again, step.reusable) == (True, False, False)
            assert step.upstream is before.upstream
            assert failure in BROKEN
            assert progress is not None
            assert progress.unheard


@given(data=st.data(), plan=PLANS)
def test_no_attempt_follows_unless_it_may_help_and_harms_nothing(data: st.DataObject, plan: Plan) -> None:
    for step, failure, progress in walk(data, plan)[1:]:
        assert failure is not None
        assert progress is not None
        assert failure.another_attempt_may_help
        assert not progress.written or (progress.repeatable and progress.method in IDEMPOTENT)
        assert step.again or not (progress.answered or progress.spent)


@given(data=st.data(), failure=st.sampled_from(MENDABLE))
def test_what_another_pod_could_mend_gets_one_if_nothing_speaks_against_it(
    data: st.DataObject, failure: errors.SplicerError
) -> None:
    plan = Plan(FIRST, FALLBACK, reusable=data.draw(st.booleans()))
    method = data.draw(METHODS)
    progress = Progress(method, written=False, repeatable=True, answered=False, spent=False, unheard=False)
    expected = Step(FALLBACK, fallback=True, reusable=plan.reusable)
    assert plan.after(plan.first, failure, progress) == expected
    assert plan.after(expected, failure, progress) is None


@given(failure=st.sampled_from(MENDABLE), retries=st.integers(1, 5), fallback=st.sampled_from([None, FALLBACK]))
def test_while_there_are_others_all_retries_are_made(
    failure: errors.SplicerError, retries: int, fallback: Upstream | None
) -> None:
    plan = Plan(FIRST, fallback, reusable=False, retries=retries)
    progress = Progress("GET", written=True, repeatable=True, answered=False, spent=False, unheard=False)
    step: Step | None = plan.first
    steps = []
    while step is not None:
        steps.append(step)
        step = plan.after(step, failure, evolve(progress, left=Left.OTHER))
    places = [FIRST] if fallback is None else [FIRST, FALLBACK]
    hopeless = isinstance(failure, (errors.NameNotFound, errors.ResolveFailed, errors.NoEndpoint, EndpointFull))
    each = 1 if hopeless else 1 + retries
    assert [step.upstream for step in steps] == [place for place in places for _ in range(each)]
    assert [step.retries for step in steps] == [*range(each)] * len(places)


@given(failure=st.sampled_from(MENDABLE), retries=st.integers(0, 2))
def test_a_plan_may_begin_with_the_fallback(failure: errors.SplicerError, retries: int) -> None:
    plan = Plan(FIRST, FALLBACK, reusable=False, retries=retries, skip=True)
    progress = Progress("GET", written=False, repeatable=True, answered=False, spent=False, unheard=False)
    assert plan.first == Step(FALLBACK, fallback=True)
    assert plan.after(plan.first, failure, progress) is None
    assert Plan(FIRST, None, reusable=False, skip=True).first == Step(FIRST)


@given(failure=st.sampled_from(MENDABLE), left=st.sampled_from(Left))
def test_an_upstream_is_its_own_fallback_only_while_it_has_other_endpoints(
    failure: errors.SplicerError, left: Left
) -> None:
    plan = Plan(FIRST, evolve(FIRST), reusable=False)
    progress = Progress("GET", written=False, repeatable=True, answered=False, spent=False, unheard=False, left=left)
    following = plan.after(plan.first, failure, progress)
    hopeful = left is Left.OTHER and not isinstance(failure, EndpointFull)
    assert following == (Step(FIRST, fallback=True) if hopeful else None)


@given(data=st.data(), plan=PLANS, failure=FAILURES)
def test_asking_what_would_follow_changes_nothing(
    data: st.DataObject, plan: Plan, failure: errors.SplicerError
) -> None:
    progress = data.draw(progresses(plan))
    assert plan.after(plan.first, failure, progress) == plan.after(plan.first, failure, progress)
    assert plan.first == Step(FIRST, reusable=plan.reusable)
