"""The supervisor's part for the template: processes can be had with it, without it, and while it dies."""

from __future__ import annotations

import gc
import os
import re
import select
import selectors
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from splicer.ipc import wire
from splicer.ipc.arguments import AdminArguments, Place, StartedTemplate
from splicer.ipc.board import Board
from splicer.ipc.messages import AdminReport, Ready
from splicer.supervisor import launch, template_process
from splicer.supervisor.config_probe import ConfigProbe
from splicer.supervisor.launch import Unanswered
from splicer.supervisor.template_process import TemplateProcess
from splicer.vault.protocol import channel
from tests.kit.descriptors import none_left_open
from tests.supervisor.harness import Said
from tests.supervisor.test_config_probe import GOOD, INSPECT, Loop
from tests.template.stand import TELLS, Stand, stand

_TIMEOUT = 30.0  # seconds


@pytest.fixture
def template() -> Iterator[Stand]:
    with none_left_open(), stand() as made:
        yield made


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that were executed instead of forked."""
    found: list[str] = []

    def execute(module: str, *_: object, **__: object) -> int:
        found.append(module)
        return 1 << 22

    monkeypatch.setattr(launch, "execute", execute)
    return found


def _none() -> TemplateProcess:
    return TemplateProcess(selectors.DefaultSelector(), Said())


def test_without_one_processes_are_executed(executed: list[str]) -> None:
    part = _none()
    assert not part.awaited
    part.spawn("splicer.worker", {}, [])
    part.start("splicer.worker", ["{}"], {})
    assert executed == ["splicer.worker", "splicer.worker"]


def test_with_one_those_that_may_be_are_forked(template: Stand, executed: list[str]) -> None:
    assert not template.part.awaited
    pid, told = template.fork()
    assert told["pids"][:2] == [pid, os.getpid()]
    assert executed == []
    template.part.start("splicer.supervisor.preflight", [], {})
    assert executed == ["splicer.supervisor.preflight"]


def test_a_forked_process_is_taken_before_its_supervisor_when_memory_is_short(template: Stand) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    read_fd, write_fd = os.pipe()
    pid = template.start([], write_fd)
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == min(1000, own + 100)
    os.waitpid(pid, 0)
    os.close(read_fd)
    os.close(write_fd)


def test_one_that_is_dead_is_noticed_by_the_fork_and_costs_nothing(template: Stand, executed: list[str]) -> None:
    os.kill(template.pid, signal.SIGKILL)
    os.waitid(os.P_PID, template.pid, os.WEXITED | os.WNOWAIT)
    assert template.start([], 0) == 1 << 22
    assert executed == [TELLS]
    template.reap()
    [line] = template.said.of("template_died")
    assert (line["level"], line["reason"], line["pid"]) == ("warning", "SIGKILL", template.pid)


def test_one_that_does_not_answer_is_killed_and_the_next_process_is_executed(
    template: Stand, executed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it has forked is unknown: so what the first one was given must not be given to another one."""
    monkeypatch.setattr(template_process, "_FORK_TIMEOUT", 0.01)
    os.kill(template.pid, signal.SIGSTOP)
    with pytest.raises(Unanswered):
        template.start([], 0)
    assert executed == []
    template.start([], 0)
    assert executed == [TELLS]
    template.reap()
    assert template.said.of("template_died")


def test_a_reader_of_the_file_is_tried_again_at_once(
    template: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload doesn't fail because the template does."""
    monkeypatch.setattr(template_process, "_FORK_TIMEOUT", 0.01)
    path = tmp_path / "routing.toml"
    path.write_text(GOOD)
    loop = Loop()
    loop.config_probe = ConfigProbe(loop.selector, template.part.start)
    os.kill(template.pid, signal.SIGSTOP)
    loop.ask(INSPECT, path)
    assert loop.summary().text == GOOD
    loop.selector.close()
    template.reap()


def test_a_reader_of_the_file_is_forked(template: Stand, executed: list[str], tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    path.write_text(GOOD)
    loop = Loop()
    loop.config_probe = ConfigProbe(loop.selector, template.part.start)
    for text, changed in (None, 0), (GOOD.replace("200", "204"), 1):
        loop.ask(INSPECT, path, text)
        found = loop.summary()
        assert (found.text, len(found.changes)) == (GOOD, changed)
        loop.answers.clear()
    assert executed == []
    loop.selector.close()


def test_its_end_is_noticed_without_a_fork_too(template: Stand) -> None:
    os.kill(template.pid, signal.SIGKILL)
    late = time.monotonic() + _TIMEOUT
    while template.part._loaded:
        assert time.monotonic() < late
        template.turn()
    template.reap()


def test_a_fork_that_fails_is_an_error_of_its_own(template: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "FORKED", {"splicer.elsewhere"})
    with pytest.raises(FileNotFoundError):
        template.part.start("splicer.elsewhere", [], {})
    assert template.part._loaded, "it can go on"


def test_another_one_follows_one_that_has_ended(executed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_process, "become_subreaper", lambda: None)
    part = _none()
    part.begin()
    assert part.awaited
    part.reconcile()
    assert executed == [launch.TEMPLATE], "there is one"
    part.died(1 << 22, 0)
    assert not part.awaited
    part.reconcile()
    assert executed == [launch.TEMPLATE], "one that has never loaded is not started again at once"
    part._backoff.reset()
    part.reconcile()
    assert executed == [launch.TEMPLATE] * 2
    part.died(77, 0)
    part.close()
    part.reconcile()
    assert executed == [launch.TEMPLATE] * 3, "an upgrade that has failed goes on with a new one"
    part.end()
    part.reconcile()
    assert executed == [launch.TEMPLATE] * 3
    part._selector.close()


def test_it_is_not_waited_for_for_ever(executed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_process, "become_subreaper", lambda: None)
    monkeypatch.setattr(template_process, "_FIRST_LOAD_TIMEOUT", -1.0)
    part = _none()
    part.begin()
    assert not part.awaited
    part.end()
    part._selector.close()


def test_one_that_can_not_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(*_: object, **__: object) -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(launch, "execute", execute)
    monkeypatch.setattr(template_process, "become_subreaper", lambda: None)
    said = Said()
    with selectors.DefaultSelector() as selector, none_left_open():
        part = TemplateProcess(selector, said)
        part.begin()
        assert not part.awaited
    [line] = said.of("process_not_started")
    assert (line["module"], line["error"]) == (launch.TEMPLATE, "Resource temporarily unavailable")


def test_where_orphans_can_not_be_had_there_is_none(executed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(template_process, "become_subreaper", refused)
    said = Said()
    with selectors.DefaultSelector() as selector:
        part = TemplateProcess(selector, said)
        part.begin()
        part.reconcile()
    assert executed == []
    [line] = said.of("template_off")
    assert line["reason"] == "PR_SET_CHILD_SUBREAPER: Operation not permitted"


def test_while_it_parses_processes_are_executed(template: Stand, executed: list[str]) -> None:
    os.kill(template.pid, signal.SIGSTOP)
    template.part.parse(Path("routing.toml"), GOOD)
    template.start([], 0)
    assert executed == [TELLS]
    os.kill(template.pid, signal.SIGCONT)
    template.parse(Path("routing.toml"), GOOD)
    template.fork()
    assert executed == [TELLS]


def test_the_next_one_parses_what_is_in_force_unless_the_last_one_died_of_it(
    template: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = []

    def start() -> StartedTemplate:
        ours, its = channel()
        channels.append(its)
        return StartedTemplate(1 << 22, ours.detach())

    def told() -> bool:
        with channels.pop() as its:
            return bool(select.select([its], [], [], 0)[0])

    monkeypatch.setattr(launch, "start_template", start)
    template.parse(Path("routing.toml"), GOOD)
    os.kill(template.pid, signal.SIGKILL)
    template.reap()
    template.part.reconcile()
    assert told()
    template.part.died(1 << 22, 0)
    template.part._backoff.reset()
    template.part.reconcile()
    assert not told()
    template.part.died(1 << 22, 0)


_SAME = ("PPid", "SigBlk", "SigIgn", "SigCgt", "Umask", "Uid", "NoNewPrivs", "Threads", "Name")


def _seen(start: Callable[[str, object, Sequence[int]], int]) -> tuple[dict[str, object], Counter[str]]:
    """What can be seen of an admin process that is ready, and its descriptors."""
    ours, its = channel()
    board = Board()
    shared = board.fds
    place = Place(its.fileno(), shared[0], 1, wire.VERSION, *shared[1:])
    arguments = AdminArguments(place, "routing.toml", "json")
    pid = start(launch.ADMIN, arguments, [its.fileno(), *shared])
    with ours:
        its.close()
        assert select.select([ours], [], [], _TIMEOUT)[0]
        heard = wire.receive(ours, AdminReport)
        assert heard is not None
        assert isinstance(heard.message, Ready)
        proc = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        found = {
            "status": {name: status[name].strip() for name in _SAME},
            "limits": (proc / "limits").read_text(),
            "title": (proc / "cmdline").read_bytes().rstrip(b"\0"),
            "group": (os.getpgid(pid), os.getsid(pid)),
            "directory": (proc / "cwd").readlink(),
        }
        kinds = Counter(map(_kind, (proc / "fd").iterdir()))
    for fd in shared:
        os.close(fd)
    os.waitpid(pid, 0)
    return found, kinds


def _kind(entry: Path) -> str:
    return re.sub(r"\d+", "", str(entry.readlink()))


def test_a_process_is_the_same_whether_it_is_forked_or_executed(template: Stand) -> None:
    """Its descriptors, limits, signals, title, group; and it goes with the channel."""
    gc.collect()  # garbage of other tests may have descriptors
    ours = [entry for entry in Path("/proc/self/fd").iterdir() if int(entry.name) > 2 and entry.exists()]
    everybodys = Counter(_kind(entry) for entry in ours if os.get_inheritable(int(entry.name)))
    (forked, its), (executed, all_of_its) = _seen(template.part.spawn), _seen(launch.spawn)
    assert forked == executed
    assert forked["title"] == b"splicer: admin"
    assert its == all_of_its - everybodys
