"""What counts for outlier detection, and what does not."""

from __future__ import annotations

from typing import cast

import pytest
from attrs import define, evolve, field

from splicer import errors
from splicer.errors import SplicerError, UnwantedStatus
from splicer.health import OutlierDetection
from splicer.http1.response import ResponseParser
from splicer.model import Endpoint, Upstream
from splicer.net.stream import ByteStream
from splicer.routing.template import parse_template
from splicer.upstream.outcomes import NO_OUTCOMES, report_answer, report_failure
from splicer.upstream.pod import PodLeg

JUDGED = Upstream("app", parse_template("app.test"), 8000, outlier_detection=OutlierDetection())
ONE = Endpoint("app.test", "10.0.0.1", 8000)


@define
class Told:
    expected: Upstream | None = JUDGED
    words: list[str] = field(factory=list)

    def failed(self, upstream: Upstream, endpoint: Endpoint, reason: str) -> None:
        assert self.expected in (upstream, None)
        assert endpoint == ONE
        self.words.append(reason)

    def succeeded(self, endpoint: Endpoint) -> None:
        assert endpoint == ONE
        self.words.append("ok")

    def used(self, upstream: Upstream, host: str, endpoint: Endpoint) -> None:
        raise AssertionError("nothing is to be said of names here")


def leg(*, reused: bool = False) -> PodLeg:
    return PodLeg(cast("ByteStream", object()), ONE, cast("ResponseParser", object()), reused=reused)


def after_failure(failure: SplicerError, *, reused: bool = False) -> list[str]:
    told = Told()
    report_failure(told, JUDGED, leg(reused=reused), failure)
    return told.words


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (101, "ok"),
        (200, "ok"),
        (404, "ok"),
        (429, "ok"),
        (500, "ok"),
        (502, "status"),
        (503, "status"),
        (504, "status"),
    ],
)
def test_an_answer(status: int, word: str) -> None:
    told = Told()
    report_answer(told, JUDGED, ONE, status)
    assert told.words == [word]
    assert after_failure(UnwantedStatus(status)) == [word], "that the request goes elsewhere makes no difference"


@pytest.mark.parametrize(("statuses", "words"), [((), ["ok", "ok"]), ((500,), ["status", "ok"])])
def test_the_file_names_the_statuses(statuses: tuple[int, ...], words: list[str]) -> None:
    upstream, told = evolve(JUDGED, outlier_detection=OutlierDetection(statuses=frozenset(statuses))), Told(None)
    for status in (500, 503):
        report_answer(told, upstream, ONE, status)
    assert told.words == words


ERRORS = (errors.PodReset, errors.PodClosed, errors.HandshakeTimeout, errors.BadAnswer)
NOTHING = (
    errors.ClientGone,
    errors.AttemptsTimeout,
    errors.NoDescriptor,
    errors.PodDraining,
    errors.NameNotFound,
    errors.ResolveFailed,
    errors.ResolveTimeout,
    errors.NoEndpoint,
    errors.AddressNotAllowed,
    errors.ResponseTimeout,
    errors.ResponseStalled,
    errors.BodyTimeout,
    errors.ClientStalled,
)


@pytest.mark.parametrize("error", ERRORS)
def test_no_answer(error: type[SplicerError]) -> None:
    assert after_failure(error("x")) == [error.reason]


@pytest.mark.parametrize("error", NOTHING)
def test_what_is_no_fault_of_the_endpoint(error: type[SplicerError]) -> None:
    assert after_failure(error("x")) == []


def test_an_idle_connection_that_the_pod_had_closed() -> None:
    assert after_failure(errors.PodReset("x"), reused=True) == []
    assert after_failure(errors.PodClosed("x"), reused=True) == []
    assert after_failure(errors.HandshakeTimeout("x"), reused=True) == ["handshake_deadline"]


def test_without_a_connection_the_connector_has_told_already() -> None:
    told = Told()
    report_failure(told, JUDGED, None, errors.ConnectRefused("x"))
    assert told.words == []


def test_an_upstream_without_the_key() -> None:
    plain, told = evolve(JUDGED, outlier_detection=None), Told()
    report_answer(told, plain, ONE, 503)
    report_failure(told, plain, leg(), errors.PodReset("x"))
    assert told.words == []


def test_nobody_is_interested() -> None:
    report_answer(NO_OUTCOMES, JUDGED, ONE, 503)
    report_answer(NO_OUTCOMES, JUDGED, ONE, 200)
