from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from splicer.ipc import wire
from splicer.ipc.facts import OperatorDrains
from splicer.ipc.messages import Draining, DrainsFollowed, FollowDrains, Reload, Reloaded, Serve, Stop, WorkerOrder
from splicer.supervisor.processes import Process, State, reason
from splicer.vault.protocol import channel


def _status(code: str) -> int:
    """The wait status of a child that runs this."""
    with subprocess.Popen([sys.executable, "-S", "-c", f"import os, signal; {code}"]) as child:
        _, status = os.waitpid(child.pid, 0)
        child.returncode = 0  # it is reaped
    return status


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os._exit(0)", "exit 0"),
        ("os._exit(3)", "exit 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 3)", "signal 37"),
    ],
)
def test_why_a_process_ended(code: str, words: str) -> None:
    assert reason(_status(code)) == words


def test_a_process_is_told_words_and_given_descriptors() -> None:
    ours, its = channel()
    with ours, its:
        process = Process(1, 2, ours)
        fd = wire.text_file("text")
        order = Serve(5, slot=3, slots=4, draining=False, listeners={"listen": 1})
        process.send(order, (fd,))
        os.close(fd)
        heard = wire.receive(its, WorkerOrder)
        assert heard is not None
        assert heard.message == order
        assert wire.read_text(heard.fds[0]) == "text"


def test_one_that_does_not_listen_is_no_error() -> None:
    ours, its = channel()
    with ours:
        process = Process(1, 2, ours)
        with its:
            for _ in range(5000):
                process.send(Reload(1))
        process.send(Stop())


def test_an_answer_settles_its_request_and_older_ones_of_its_kind() -> None:
    ours, its = channel()
    with ours, its:
        process = Process(1, 2, ours)
        for order in (Reload(1), FollowDrains(2, OperatorDrains()), Reload(3), Reload(4)):
            process.send(order)
        process.settle(Draining(9))
        assert process.owed.keys() == {1, 2, 3, 4}
        process.settle(Reloaded(3))
        assert process.owed.keys() == {2, 4}
        process.settle(Reloaded(3))
        process.settle(DrainsFollowed(2))
        assert process.owed.keys() == {4}


def test_one_that_is_about_to_end_owes_nothing() -> None:
    ours, its = channel()
    with ours, its:
        process = Process(1, 2, ours, State.GONE)
        process.send(Reload(1))
        assert process.owed == {}


def test_kill() -> None:
    ours, its = channel()
    with ours, its, subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as child:
        process = Process(child.pid, 2, ours)
        process.kill()
        assert child.wait(10) == -signal.SIGKILL
        process.kill()  # it is gone
