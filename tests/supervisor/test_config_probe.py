"""The child that reads a file, asked from a selector's loop."""

from __future__ import annotations

import os
import selectors
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from splicer.ipc.facts import ConfigSummary, Faults
from splicer.supervisor.config_probe import ConfigProbe
from tests.kit.descriptors import none_left_open

GOOD = '[[routes]]\nname = "all"\nprefix = "/"\nrespond = { status = 200 }\n'
INSPECT = "splicer.configfile.inspect"
_TIMEOUT = 30.0  # seconds


class Loop:
    """A selector's loop, and the answers that came."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.config_probe = ConfigProbe(self.selector)
        self.answers: list[ConfigSummary | Faults] = []

    def turn(self) -> None:
        for key, events in self.selector.select(0.1):
            key.data(events)

    def summary(self) -> ConfigSummary:
        found = self.answer()
        assert isinstance(found, ConfigSummary)
        return found

    def answer(self) -> ConfigSummary | Faults:
        late = time.monotonic() + _TIMEOUT
        while not self.answers:
            assert time.monotonic() < late
            self.turn()
        [found] = self.answers
        return found

    def ask(self, module: str, path: Path, text: str | None = None) -> None:
        self.config_probe.ask(module, path, self.answers.append, text=text)


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = _children()
    with none_left_open():
        loop = Loop()
        yield loop
        loop.config_probe.close()
        assert not loop.selector.get_map(), "something is still watched"
        loop.selector.close()
    assert _children() <= before, "a child is left"


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "routing.toml"
    path.write_text(GOOD)
    return path


def test_what_a_file_says(loop: Loop, path: Path) -> None:
    loop.ask(INSPECT, path)
    summary = loop.summary()
    assert (summary.text, summary.changes) == (GOOD, ())


def test_what_has_changed_since(loop: Loop, path: Path) -> None:
    loop.ask(INSPECT, path, GOOD.replace("200", "204"))
    assert loop.summary().changes


def test_its_faults(loop: Loop, path: Path) -> None:
    path.write_text(GOOD + "[srver]\n")
    loop.ask(INSPECT, path)
    found = loop.answer()
    assert isinstance(found, Faults)
    [fault] = found.faults
    assert "srver" in fault


def test_a_large_answer_is_read_whole(loop: Loop, path: Path) -> None:
    text = GOOD + "# " + "x" * 1_000_000
    path.write_text(text)
    loop.ask(INSPECT, path)
    assert loop.summary().text == text


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)", "print('no JSON')", "print('{}')", "import os; os.kill(os.getpid(), 9)"]
)
def test_a_child_that_fails_is_a_fault(
    loop: Loop, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    (tmp_path / "failing.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    loop.ask("failing", path)
    assert loop.answer() == Faults((f"{path}: the process that reads it has failed",))


def test_a_newer_question_takes_the_place_of_an_older_one(loop: Loop, path: Path) -> None:
    loop.ask(INSPECT, path)
    path.write_text(GOOD.replace("200", "201"))
    loop.ask(INSPECT, path)
    assert "201" in loop.summary().text
    loop.turn()
    assert len(loop.answers) == 1


# Its descriptor is closed, and may be another file's by then.
def test_an_event_of_a_child_that_ended_earlier_in_the_same_batch_is_nobodys(loop: Loop, path: Path) -> None:
    loop.ask(INSPECT, path)
    [(stale, events)] = _ready(loop)
    loop.config_probe.close()
    stale.data(events)
    os.dup2(0, stale.fd)  # another file with the same number
    stale.data(events)
    os.close(stale.fd)
    assert loop.answers == []


def _ready(loop: Loop) -> list[tuple[selectors.SelectorKey, int]]:
    late = time.monotonic() + _TIMEOUT
    while not (ready := loop.selector.select(0.1)):
        assert time.monotonic() < late
    return ready


def test_a_question_may_be_forgotten(loop: Loop, path: Path) -> None:
    loop.ask(INSPECT, path)
    loop.config_probe.close()
    loop.config_probe.close()
    loop.turn()
    assert loop.answers == []


# As the supervisor's SIGCHLD may do.
def test_somebody_else_may_reap_the_child(loop: Loop, path: Path) -> None:
    loop.ask(INSPECT, path)
    os.waitpid(-1, 0)
    assert loop.summary().text == GOOD


def test_the_child_is_not_of_the_terminals_process_group(loop: Loop, path: Path, tmp_path: Path) -> None:
    loop.ask(INSPECT, path)
    child = loop.config_probe._child
    assert child is not None
    assert os.getpgid(child.pid) == child.pid
    loop.answer()


# ---- a child that does not end ----


HUNG = "timeit", Path("__import__('time').sleep(1000)")  # a module, and an argument with which it takes that long


def test_a_child_that_does_not_answer_is_not_waited_for_for_ever(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.ask(*HUNG)
    loop.config_probe.expire()
    assert loop.config_probe.underway
    monkeypatch.setattr("splicer.supervisor.config_probe._TIMEOUT", -1.0)
    loop.ask(*HUNG)
    loop.config_probe.expire()
    assert not loop.config_probe.underway
    assert loop.answers == [Faults((f"{HUNG[1]}: the process that reads it has not answered in -1 s",))]
    loop.config_probe.expire()
    assert len(loop.answers) == 1


# One that waits for a dead disk dies when the disk answers, and no sooner: the supervisor has calls to keep meanwhile.
def test_a_child_that_cannot_be_killed_now_is_left_to_who_reaps_all(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("splicer.supervisor.config_probe.signal", SimpleNamespace(SIGKILL=0))
    loop.ask(*HUNG)
    child = loop.config_probe._child
    assert child is not None
    began = time.monotonic()
    loop.config_probe.close()
    assert time.monotonic() - began < _TIMEOUT
    assert os.waitpid(child.pid, os.WNOHANG) == (0, 0)
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
