"""What the supervisor does with commands and with bugs of its own parts: no process is involved."""

from __future__ import annotations

from typing import Any

import pytest

from splicer.supervisor import supervisor as module
from splicer.supervisor.outcomes import Topic
from splicer.supervisor.supervisor import Supervisor
from tests.supervisor.harness import SupervisorHarness


class Operator:
    """Waits for an answer."""

    def __init__(self) -> None:
        self.answers: list[tuple[list[str], bool]] = []

    def answer(self, lines: list[str], *, ok: bool) -> None:
        self.answers.append((lines, ok))


@pytest.fixture
def operator() -> Any:
    return Operator()


@pytest.fixture
def supervisor(harness: SupervisorHarness) -> Supervisor:
    return Supervisor(harness.edge)


# ---- commands ----


def test_a_word_that_is_no_command_is_answered_with_those_that_are(
    harness: SupervisorHarness, supervisor: Supervisor, operator: Any
) -> None:
    harness.open(workers=1)
    supervisor._on_word(operator, "restart")
    [([line], ok)] = operator.answers
    assert line == "'restart' is no command; there are reload, upgrade, recycle, handover"
    assert not ok


@pytest.mark.parametrize("word", ["reload", "upgrade", "recycle", "handover"])
@pytest.mark.parametrize("what", ["starting", "stopping"])
def test_an_edge_that_begins_or_ends_takes_no_command(
    harness: SupervisorHarness, supervisor: Supervisor, operator: Any, word: str, what: str
) -> None:
    if what == "stopping":
        harness.open(workers=1)
        harness.edge.stopping = True
    supervisor._on_word(operator, word)
    assert operator.answers == [([f"the edge is {what}"], False)]
    assert harness.edge.outcomes.waiting == {}


# Some outcomes are known at once: whoever began to wait afterwards would wait for ever.
def test_an_operator_waits_before_the_command_begins(
    harness: SupervisorHarness, supervisor: Supervisor, operator: Any
) -> None:
    harness.open(workers=1)
    waited: list[Topic | None] = []
    topic, _ = supervisor._commands["recycle"]

    def begin() -> None:
        waited.append(harness.edge.outcomes.waiting.get(operator))

    supervisor._commands["recycle"] = topic, begin
    supervisor._on_word(operator, "recycle")
    assert waited == [Topic.RENEWAL]


# ---- what its parts do wrong ----


def test_a_bug_of_one_part_is_logged_and_costs_no_other(harness: SupervisorHarness, supervisor: Supervisor) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    assert supervisor._guarded(fail) is None
    assert supervisor._guarded(lambda: 7) == 7
    [line] = harness.said.of("supervisor_error")
    assert (line["level"], line["error"]) == ("error", "ZeroDivisionError('a bug')")
    assert line["traceback"].endswith("ZeroDivisionError: a bug\n")


def test_nor_does_one_that_can_not_even_be_logged(
    harness: SupervisorHarness, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(harness.edge, "log", fail)
    assert supervisor._guarded(fail) is None


# ---- the beginning ----


def test_ready_is_said_once_when_every_slot_is_served(
    harness: SupervisorHarness, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the start needed is given back then."""
    given = []
    monkeypatch.setattr(module, "give_back", lambda: given.append(len(harness.said.of("ready"))))
    harness.open(workers=1)
    supervisor._look()
    assert harness.said.of("ready") == []
    harness.worker()
    for _ in range(2):
        supervisor._look()
    [line] = harness.said.of("ready")
    assert (line["workers"], line["mover"]) == (1, "native")
    assert given == [1]


@pytest.mark.parametrize("served_before", [False, True])
def test_an_edge_whose_workers_all_fail_at_the_start_ends(
    harness: SupervisorHarness, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, served_before: bool
) -> None:
    """One that has served before goes on: its calls may have a next worker yet."""
    told: list[str] = []
    monkeypatch.setattr(harness.said, "die_usage", told.extend)
    harness.open(workers=1)
    if served_before:
        worker = harness.worker()
        supervisor._look()
        worker.die()
    for _ in range(5):
        harness.edge.workers.backoff.failed()
    supervisor._look()
    assert harness.edge.code == (None if served_before else 1)
    assert told == ([] if served_before else ["no worker can be started; the log and its own words above say why"])
