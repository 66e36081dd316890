"""Forking on demand: whose child it is, and what becomes of an order that can't be followed."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from splicer.ipc import wire
from splicer.ipc.forking import Fork, Forked, TemplateReport
from splicer.template.serve import serve
from splicer.vault.protocol import channel
from tests.kit.descriptors import none_left_open
from tests.template.stand import Stand


def _never(_path: str, _fd: int | None) -> None:
    raise AssertionError


def test_a_forked_process_is_the_child_of_the_supervisor_and_no_other_is_left(template: Stand) -> None:
    with none_left_open():
        pid, told = template.fork()
    assert told["pids"] == [pid, os.getpid(), os.getpgrp(), os.getsid(0)]
    assert Path(f"/proc/{template.pid}/task/{template.pid}/children").read_text() == ""


def test_it_may_have_a_group_of_its_own(template: Stand) -> None:
    pid, told = template.fork(group=True)
    assert told["pids"][2] == pid


def test_its_exit_code_is_its_own(template: Stand) -> None:
    template.fork(code=7)


def test_the_template_keeps_nothing_of_those_that_it_has_forked(template: Stand) -> None:
    before = len(list(Path(f"/proc/{template.pid}/fd").iterdir()))
    for _ in range(3):
        template.fork([0])
    assert len(list(Path(f"/proc/{template.pid}/fd").iterdir())) == before


def test_many_at_once(template: Stand) -> None:
    read_fd, write_fd = os.pipe()
    pids = [template.start([], write_fd) for _ in range(5)]
    for pid in pids:
        assert os.waitpid(pid, 0) == (pid, 0)
    assert len(set(pids)) == 5
    os.close(read_fd)
    os.close(write_fd)


def test_where_no_process_can_be_had_the_reason_is_told(template: Stand) -> None:
    if os.geteuid() == 0:
        pytest.skip("RLIMIT_NPROC does not bind root")
    before = resource.prlimit(template.pid, resource.RLIMIT_NPROC)
    resource.prlimit(template.pid, resource.RLIMIT_NPROC, (0, before[1]))
    with pytest.raises(BlockingIOError):
        template.fork()
    resource.prlimit(template.pid, resource.RLIMIT_NPROC, before)
    template.fork()


@pytest.mark.parametrize("first", [True, False])
def test_a_fork_that_fails_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch, *, first: bool) -> None:
    """The first one, or the second one, in the process between."""
    ours, its = channel()
    its.setblocking(True)
    forks = iter([False] if first else [True, False])
    own = os.fork

    def fork() -> int:
        if next(forks):
            return own()
        raise OSError(11, "no process")

    monkeypatch.setattr(os, "fork", fork)
    with ours, its, none_left_open():
        wire.send(ours, Fork(1, "this", (), (0,)), (0,))
        ours.shutdown(1)
        assert serve(its, wire.VERSION, {"this"}, _never) is None
        heard = wire.receive(ours, TemplateReport)
        assert heard is not None
        assert heard.message == Forked(1, 0, 11)


def test_a_program_that_may_not_be_forked_is_refused() -> None:
    """Such as the vault."""
    ours, its = channel()
    its.setblocking(True)
    with ours, its, none_left_open():
        wire.send(ours, Fork(1, "splicer.supervisor.vault_main", (), (0,)), (0,))
        ours.shutdown(1)
        assert serve(its, wire.VERSION, {"splicer.worker"}, _never) is None
        heard = wire.receive(ours, TemplateReport)
        assert heard is not None
        assert heard.message == Forked(1, 0, 2)


def test_what_it_does_not_know_is_ignored_and_what_is_no_message_ends_it() -> None:
    ours, its = channel()
    its.setblocking(True)
    with ours, its:
        ours.send(b'{"version": 1, "kind": "of_a_newer_version"}')
        ours.send(b"nonsense")
        assert serve(its, wire.VERSION, (), _never) is None


def test_it_goes_with_its_supervisor(template: Stand) -> None:
    """Its channel's end is all that it needs: signals are the supervisor's."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        os.kill(template.pid, signum)
    template.fork()
    assert template.part._sock is not None
    template.part._sock.shutdown(2)
    assert os.waitstatus_to_exitcode(os.waitpid(template.pid, 0)[1]) == 0
