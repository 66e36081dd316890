"""What a worker reports of endpoints, and what it keeps to itself."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define, field

from splicer.health import OutlierDetection
from splicer.ipc.endpoint_reports import NamesUsed, OutcomeRow, OutcomesSeen, UsedRow
from splicer.model import Endpoint, Upstream
from splicer.policy.endpoint_flags import EJECTED, PROBATION, SUSPECT, UNHEALTHY, Verdict
from splicer.policy.tiers import Key
from splicer.routing.template import parse_template
from splicer.worker.outcome_reports import OutcomeReports
from splicer.worker.reports import Reports

APP = Upstream("app", parse_template("{pod}.pods.test"), 8000, outlier_detection=OutlierDetection())
ONE, TWO = Endpoint("pod-1", "10.0.0.1", 8000), Endpoint("pod-2", "10.0.0.2", 8000)
HOST = "pod-1.pods.test"


@define
class Ground:
    said: list[OutcomeRow] = field(factory=list)
    shown: list[UsedRow] = field(factory=list)
    introduced: list[Any] = field(factory=list)
    verdicts: dict[Key, Verdict] = field(factory=dict)
    now: float = 0.0
    reports: OutcomeReports = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reports = OutcomeReports(cast("Reports", self), lambda: self.verdicts, lambda: self.now)

    def say(self, kind: object, row: OutcomeRow) -> None:
        assert kind is OutcomesSeen
        self.said.append(row)

    def show(self, kind: object, key: object, row: UsedRow) -> None:
        assert kind is NamesUsed
        assert UsedRow(*cast("Any", key)) == row
        self.shown.append(row)


def test_a_failure() -> None:
    ground = Ground()
    ground.reports.failed(APP, ONE, "connect_refused")
    assert ground.said == [OutcomeRow("app", "10.0.0.1", 8000, "pod-1", "connect_refused")]


def test_a_success_sends_nothing() -> None:
    ground = Ground()
    for _ in range(10):
        ground.reports.succeeded(ONE)
    ground.verdicts[TWO.address, TWO.port] = Verdict(SUSPECT)
    ground.reports.succeeded(ONE)
    assert ground.said == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [(SUSPECT, True), (PROBATION, True), (SUSPECT | UNHEALTHY, True), (EJECTED, False), (UNHEALTHY, False)],
)
def test_a_success_at_an_endpoint_that_is_not_trusted(flags: int, said: bool) -> None:
    ground = Ground(verdicts={(ONE.address, ONE.port): Verdict(flags)})
    ground.reports.succeeded(ONE)
    assert bool(ground.said) is said


# The snapshot says SUSPECT only a moment after the failure was reported.
def test_a_success_right_after_a_failure_here() -> None:
    ground = Ground()
    for _ in range(3):
        ground.reports.failed(APP, ONE, "status")
        ground.reports.succeeded(TWO)
        ground.reports.succeeded(ONE)
        ground.reports.succeeded(ONE)
    assert [row.reason for row in ground.said] == ["status", ""] * 3


def test_a_name_is_reported_once_a_minute() -> None:
    ground = Ground()
    for now in (0.0, 1.0, 59.0, 60.0, 61.0):
        ground.now = now
        ground.reports.used(APP, HOST, ONE)
    row = UsedRow("app", HOST, "10.0.0.1", 8000)
    assert ground.shown == [row, row]
    ground.reports.used(APP, HOST, TWO)
    assert len(ground.shown) == 3, "another address is news"


def test_another_discovery_process_hears_of_all_names_at_once() -> None:
    ground = Ground()
    ground.reports.used(APP, HOST, ONE)
    [tell] = ground.introduced
    ground.shown.clear()
    tell()
    assert ground.shown == [UsedRow("app", HOST, "10.0.0.1", 8000)]
    ground.shown.clear()
    ground.now = 700.0
    tell()
    assert ground.shown == [], "it is not in use any more"


def test_memory_is_bounded() -> None:
    ground = Ground()
    for number in range(3000):
        endpoint = Endpoint("pod", "10.0.0.1", number)
        ground.reports.failed(APP, endpoint, "status")
        ground.reports.used(APP, HOST, endpoint)
    assert len(ground.reports._failed) == len(ground.reports._used) == 1024
