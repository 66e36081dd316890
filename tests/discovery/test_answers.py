from __future__ import annotations

import json

import pytest

from splicer.discovery.answers import error_event, json_object, refusal, slice_of, version_of
from splicer.discovery.failures import REASONS, ApiFailure
from tests.kit.kubernetes import statuses
from tests.kit.kubernetes.resources import Thing


@pytest.mark.parametrize("data", [b"", b"[]", b"7", b"{", b"\xff", b"<html>", b"[" * 100_000])
def test_what_is_no_object(data: bytes) -> None:
    with pytest.raises(ApiFailure) as failure:
        json_object(data)
    assert failure.value.reason == "garbage"
    assert len(str(failure.value)) < 300


@pytest.mark.parametrize(
    "thing",
    [
        {},
        {"metadata": None},
        {"metadata": {"resourceVersion": 7}},
        {"metadata": {"resourceVersion": "\ud800"}},
        {"metadata": {"resourceVersion": "7" * 2000}},
    ],
)
def test_an_object_without_a_version(thing: Thing) -> None:
    with pytest.raises(ApiFailure, match="resourceVersion"):
        version_of(thing)
    with pytest.raises(ApiFailure, match="uid"):
        slice_of(thing)


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (statuses.unauthorized(), "unauthorized"),
        (statuses.forbidden("u", "n", "list"), "forbidden"),
        (statuses.expired_list(), "gone"),
        (statuses.too_many(1), "throttled"),
        (statuses.too_large(7, 5), "too_new"),
        (statuses.internal(), "server_error"),
        (statuses.status(503, "no"), "server_error"),
        (statuses.status(504, "no", "Timeout", {"causes": None}), "server_error"),
        (statuses.not_found("x"), "error"),
        (statuses.status(302, "there"), "error"),
    ],
)
def test_statuses(thing: Thing, reason: str) -> None:
    failure = refusal(thing["code"], json.dumps(thing).encode(), 7.0)
    assert (failure.reason, failure.status, failure.retry_after) == (reason, thing["code"], 7.0)
    assert reason in REASONS
    assert thing["message"] in str(failure)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": 7, "details": 7}'])
def test_a_status_without_a_message(body: bytes) -> None:
    assert str(refusal(503, body, 0.0)) == "503: no reason given"


def test_error_events() -> None:
    assert error_event(statuses.expired_watch(5, 7)).reason == "gone"
    assert error_event(statuses.too_large(7, 5)).reason == "too_new"
    assert error_event(statuses.internal()).reason == "error"
    assert error_event({"code": "410"}).reason == "error"
