"""What the supervisor does with commands and with bugs of its own parts: no process is involved."""

from __future__ import annotations

from typing import Any

import pytest

from splicer.supervisor.outcomes import Topic
from splicer.supervisor.supervisor import Supervisor
from tests.supervisor.harness import Office


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
def supervisor(room: Office) -> Supervisor:
    return Supervisor(room.edge)


# ---- commands ----


def test_a_word_that_is_no_command_is_answered_with_those_that_are(
    room: Office, supervisor: Supervisor, operator: Any
) -> None:
    room.open(workers=1)
    supervisor._on_word(operator, "restart")
    [([line], ok)] = operator.answers
    assert line == "'restart' is no command; there are reload, upgrade, recycle, handover"
    assert not ok


@pytest.mark.parametrize("word", ["reload", "upgrade", "recycle", "handover"])
@pytest.mark.parametrize("what", ["starting", "stopping"])
def test_an_edge_that_begins_or_ends_takes_no_command(
    room: Office, supervisor: Supervisor, operator: Any, word: str, what: str
) -> None:
    if what == "stopping":
        room.open(workers=1)
        room.edge.stopping = True
    supervisor._on_word(operator, word)
    assert operator.answers == [([f"the edge is {what}"], False)]
    assert room.edge.outcomes.waiting == {}


# Some outcomes are known at once: whoever began to wait afterwards would wait for ever.
def test_an_operator_waits_before_the_command_begins(room: Office, supervisor: Supervisor, operator: Any) -> None:
    room.open(workers=1)
    waited: list[Topic | None] = []
    topic, _ = supervisor._commands["recycle"]

    def begin() -> None:
        waited.append(room.edge.outcomes.waiting.get(operator))

    supervisor._commands["recycle"] = topic, begin
    supervisor._on_word(operator, "recycle")
    assert waited == [Topic.RENEWAL]


# ---- what its parts do wrong ----


def test_a_bug_of_one_part_is_logged_and_costs_no_other(room: Office, supervisor: Supervisor) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    assert supervisor._guarded(fail) is None
    assert supervisor._guarded(lambda: 7) == 7
    [line] = room.said.of("supervisor_error")
    assert (line["level"], line["error"]) == ("error", "ZeroDivisionError('a bug')")
    assert line["traceback"].endswith("ZeroDivisionError: a bug\n")


def test_nor_does_one_that_can_not_even_be_logged(
    room: Office, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(room.edge, "log", fail)
    assert supervisor._guarded(fail) is None


# ---- the beginning ----


def test_ready_is_said_once_when_every_slot_is_served(room: Office, supervisor: Supervisor) -> None:
    room.open(workers=1)
    supervisor._look()
    assert room.said.of("ready") == []
    room.worker()
    for _ in range(2):
        supervisor._look()
    [line] = room.said.of("ready")
    assert line["workers"] == 1


@pytest.mark.parametrize("served_before", [False, True])
def test_an_edge_whose_workers_all_fail_at_the_start_ends(
    room: Office, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, served_before: bool
) -> None:
    """One that has served before goes on: its calls may have a next worker yet."""
    told: list[str] = []
    monkeypatch.setattr(room.said, "die_usage", told.extend)
    room.open(workers=1)
    if served_before:
        worker = room.worker()
        supervisor._look()
        worker.die()
    for _ in range(5):
        room.edge.workers.backoff.failed()
    supervisor._look()
    assert room.edge.code == (None if served_before else 1)
    assert told == ([] if served_before else ["no worker can be started; the log and its own words above say why"])
