"""What a service manager is told of an edge, and when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from splicer.supervisor.sd_notify import SdNotify
from splicer.supervisor.service_status import ServiceStatus
from tests.supervisor.harness import SupervisorHarness, supervisor_harness
from tests.supervisor.manager import Manager, manager_at


class Told:
    """A service status, its manager, and the time."""

    def __init__(self, harness: SupervisorHarness, manager: Manager) -> None:
        self.harness = harness
        self.manager = manager
        self.service_status = ServiceStatus(harness.edge)
        self.now = 1000.0

    def turn(self, *, seconds: float = 0.0, ready: bool = True, reloading: bool = False) -> list[list[str]]:
        """What the manager is told at a turn of the loop, so long after the last one."""
        self.now += seconds
        self.service_status.tell(ready=ready, reloading=reloading)
        return self.manager.take()


@pytest.fixture
def manager() -> Iterator[Manager]:
    with manager_at() as manager:
        yield manager


@pytest.fixture
def told(harness: SupervisorHarness, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    told = Told(harness, manager)
    monkeypatch.setattr(time, "monotonic", lambda: told.now)
    with closing(SdNotify({"NOTIFY_SOCKET": manager.name}, harness.said)) as notify:
        harness.edge.notify = notify
        yield told


def test_ready_is_said_once_and_not_before(told: Told) -> None:
    assert told.turn(ready=False) == [["STATUS=starting: routing.toml"]]
    told.harness.open()
    assert told.turn(seconds=5, ready=False) == []
    told.harness.worker()
    [address] = told.harness.edge.listeners["listen"].names
    assert told.turn() == [["READY=1", f"STATUS={address}; 1/1 workers, 0 tunnels"]]
    assert told.turn(seconds=100) == []


def test_a_reload_begins_and_is_over_at_once(told: Told) -> None:
    told.harness.open()
    told.turn()
    [[word, moment, status]] = told.turn(reloading=True)
    assert (word, status.endswith("; reloading")) == ("RELOADING=1", True)
    assert int(moment.removeprefix("MONOTONIC_USEC=")) > 0
    assert told.turn(reloading=True) == []
    told.harness.edge.reloads = told.harness.edge.reloads.after(ok=False)
    [[word, status]] = told.turn()
    assert word == "READY=1"
    assert status.endswith("; the last reload failed, the old routes stay")
    told.harness.edge.reloads = told.harness.edge.reloads.after(ok=True)
    told.turn(reloading=True)
    assert "failed" not in told.turn()[0][1]


def test_other_numbers_are_told_once_a_second(told: Told) -> None:
    told.harness.open(workers=2)
    told.turn()
    told.harness.worker()
    assert told.turn(seconds=0.9) == []
    [[line]] = told.turn(seconds=0.2)
    assert line.startswith("STATUS=")
    assert "1/2 workers" in line
    assert told.turn(seconds=5) == []


def test_a_drain_asks_for_time_as_long_as_it_lasts(told: Told) -> None:
    told.harness.open()
    told.turn()
    told.harness.edge.draining = told.now + 7200
    assert told.turn() == [
        ["STOPPING=1", "STATUS=draining: 0 tunnels, 0 exchanges, 120 min at most", "EXTEND_TIMEOUT_USEC=30000000"]
    ]
    assert told.turn(seconds=0.5) == []
    assert told.turn(seconds=0.6) == [["EXTEND_TIMEOUT_USEC=30000000"]]
    assert told.turn(reloading=True) == []  # a file that is read now changes nothing about it
    told.harness.edge.stopping = True
    assert told.turn(seconds=1) == [["STATUS=stopping", "EXTEND_TIMEOUT_USEC=30000000"]]


def test_an_end_before_the_beginning(told: Told) -> None:
    told.turn(ready=False)
    told.harness.edge.stopping = True
    assert told.turn(ready=False)[0][0] == "STOPPING=1"


def test_what_was_not_taken_is_told_later(told: Told) -> None:
    told.harness.open()
    while told.harness.edge.notify.send("STATUS=full"):
        pass
    told.turn()
    assert ["READY=1"] not in [message[:1] for message in told.manager.messages]
    assert told.turn() == []  # not at each turn of a busy loop
    assert told.turn(seconds=1)[0][0] == "READY=1"


def test_a_vault_that_is_away_is_told_of(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.harness.open()
    assert "vault" not in told.turn()[0][1]  # its own ends with it, and that is no news
    monkeypatch.setattr(told.harness.edge.vault, "path", "/run/vault", raising=False)
    monkeypatch.setattr(told.harness.edge.vault, "why_not_durable", "the vault at /run/vault is away", raising=False)
    assert told.turn(seconds=1)[0][0].endswith("; the vault at /run/vault is away")


def test_a_file_name_with_a_line_break_is_no_word_of_its_own(manager: Manager) -> None:
    with (
        supervisor_harness(Path("a\nREADY=1")) as harness,
        closing(SdNotify({"NOTIFY_SOCKET": manager.name}, harness.said)) as notify,
    ):
        harness.edge.notify = notify
        ServiceStatus(harness.edge).tell(ready=False, reloading=False)
    assert manager.take() == [["STATUS=starting: a READY=1"]]


def test_nobody_is_told_without_a_manager(harness: SupervisorHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.edge, "load", lambda: pytest.fail("it was looked at for nobody"))
    ServiceStatus(harness.edge).tell(ready=True, reloading=False)
