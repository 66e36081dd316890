"""Judging in the discovery process: reports in, verdicts and log lines out; time is given by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from splicer.discovery.judging import Judging
from splicer.discovery.publisher import Publisher
from splicer.health import OutlierDetection
from splicer.ipc.endpoint_memory import EndpointMemory, make_endpoint_memory
from splicer.ipc.endpoint_reports import OutcomeRow
from splicer.model import Upstream
from splicer.policy.endpoint_flags import EJECTED, PROBATION, SUSPECT, UNHEALTHY, Verdict
from splicer.policy.outlier import Key
from splicer.routing.template import parse_template
from tests.discovery.logged import Logged

ENDPOINTS: list[Key] = [(f"10.0.0.{last}", 8000) for last in range(1, 6)]
ONE, TWO, THREE, FOUR, FIVE = ENDPOINTS


def upstream(name: str, **settings: Any) -> Upstream:
    judged = OutlierDetection(**{"consecutive_errors": 2, **settings})
    return Upstream(name, parse_template("pods.test"), 8000, outlier_detection=judged)


@define
class Ground:
    """The judge, with its own clock, and all that can be seen of it."""

    publisher: Publisher
    log: Logged = field(factory=Logged)
    known: dict[str, list[Key]] = field(factory=lambda: {"pod": ENDPOINTS})
    counted: list[tuple[str, ...]] = field(factory=list)
    now: float = 1000.0
    judging: Judging = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.restart()
        self.judging.use({"pod": upstream("pod")})

    def restart(self) -> None:
        self.judging = Judging(self.publisher, self.of, self.log.logger, self, lambda: 0.0, lambda: self.now)

    def of(self, name: str) -> list[Key]:
        return self.known.get(name, [])

    def ejected(self, upstream: str, reason: str) -> None:
        self.counted.append((upstream, reason))

    def ejection_refused(self, upstream: str) -> None:
        self.counted.append((upstream,))

    def fail(self, key: Key, times: int = 1, name: str = "pod", reason: str = "connect_refused") -> None:
        self.judging.hear([OutcomeRow(name, *key, "pod-1", reason)] * times)

    def succeed(self, key: Key) -> None:
        self.judging.hear([OutcomeRow("", *key, "pod-1", "")])

    def flags(self) -> dict[Key, int]:
        return {key: verdict.flags for key, verdict in self.publisher.verdicts.items()}


@pytest.fixture
def memory() -> Iterator[EndpointMemory]:
    import os

    fd = make_endpoint_memory()
    yield EndpointMemory(fd, writable=True)
    os.close(fd)


@pytest.fixture
def ground(memory: EndpointMemory) -> Ground:
    log = Logged()
    return Ground(Publisher(memory, log.logger), log)


def test_errors_in_a_row_eject_and_everybody_is_told(ground: Ground) -> None:
    ground.fail(ONE)
    assert ground.flags() == {ONE: SUSPECT}
    ground.fail(ONE, reason="status")
    assert dict(ground.publisher.verdicts) == {ONE: Verdict(EJECTED, until=1030.0, ejections=1)}
    assert ground.counted == [("pod", "status")]
    [line] = ground.log.of("endpoint_ejected")
    assert line == {
        "level": "warning",
        "upstream": "pod",
        "pod": "pod-1",
        "endpoint": "10.0.0.1:8000",
        "reason": "status",
        "errors": 2,
        "for_s": 30.0,
        "times": 1,
    }


def test_a_success_between_errors(ground: Ground) -> None:
    for _ in range(3):
        ground.judging.hear([OutcomeRow("pod", *ONE, "pod-1", "status"), OutcomeRow("", *ONE, "pod-1", "")])
    assert ground.flags() == {}
    ground.fail(ONE)
    ground.succeed(ONE)
    assert ground.flags() == {}
    assert not ground.log.of("endpoint_ejected")


def test_of_five_two_are_ejected_and_the_third_is_not(ground: Ground) -> None:
    for key in (ONE, TWO, THREE):
        ground.fail(key, 2)
    assert ground.flags() == {ONE: EJECTED, TWO: EJECTED, THREE: SUSPECT}
    assert ground.counted == [("pod", "connect_refused")] * 2 + [("pod",)]


def test_an_upstream_that_the_file_does_not_have_any_more(ground: Ground) -> None:
    ground.fail(ONE, 5, name="gone")
    assert ground.flags() == {}
    ground.fail(ONE, 2)
    ground.judging.use({})
    assert ground.flags() == {ONE: EJECTED}, "an ejection lasts until its end"
    ground.fail(TWO, 5)
    assert ground.flags() == {ONE: EJECTED}


def test_the_other_fields_of_a_verdict_stay(ground: Ground) -> None:
    ground.publisher.amend(ONE, UNHEALTHY, UNHEALTHY, lapses=1234.5)
    ground.fail(ONE, 2)
    assert ground.publisher.verdicts[ONE] == Verdict(UNHEALTHY | EJECTED, until=1030.0, lapses=1234.5, ejections=1)
    ground.judging.renewed([ONE])
    assert ground.publisher.verdicts[ONE] == Verdict(UNHEALTHY, lapses=1234.5)


def test_a_pod_that_has_turned_ready_begins_anew(ground: Ground) -> None:
    ground.fail(ONE, 2)
    ground.fail(TWO)
    ground.judging.renewed([ONE, TWO, THREE])
    assert ground.flags() == {}
    assert [line["endpoint"] for line in ground.log.of("endpoint_returned")] == ["10.0.0.1:8000"]


def test_another_process_goes_on_with_what_this_one_has_decided(ground: Ground, memory: EndpointMemory) -> None:
    ground.fail(ONE, 2)
    ground.fail(TWO)
    ground.publisher.publish()
    ground.publisher = Publisher(memory, ground.log.logger)
    ground.now += 10.0
    ground.restart()
    ground.judging.use({"pod": upstream("pod")})
    assert dict(ground.publisher.verdicts) == {ONE: Verdict(EJECTED, until=1030.0, ejections=1)}
    ground.now = 1030.0
    ground.fail(ONE)
    assert ground.publisher.verdicts[ONE] == Verdict(EJECTED, until=1090.0, ejections=2)
    assert [line["times"] for line in ground.log.of("endpoint_ejected")] == [1, 2]
    assert len(ground.log.of("endpoint_returned")) == 1


async def test_ejections_end_by_themselves(
    memory: EndpointMemory, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    log = Logged()
    ground = Ground(Publisher(memory, log.logger), log)
    start = trio.current_time()
    ground.judging._clock = lambda: 1000.0 + trio.current_time() - start
    nursery.start_soon(ground.judging.run)
    await trio.sleep(5.0)
    ground.fail(ONE, 2)
    await trio.sleep(29.0)
    assert ground.flags() == {ONE: EJECTED}
    await trio.sleep(2.0)
    assert ground.flags() == {ONE: PROBATION}
    [line] = log.of("endpoint_returned")
    assert (line["level"], line["upstream"], line["pod"], line["endpoint"]) == ("info", "pod", "pod-1", "10.0.0.1:8000")
    await trio.sleep(30.0)
    assert ground.flags() == {}, "without another error it is trusted again"
