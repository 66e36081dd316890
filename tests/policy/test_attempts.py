"""Which failures another attempt may mend, and which requests may have one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer import errors
from splicer.policy.attempts import IDEMPOTENT, may_ride_idle, may_try_again

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
