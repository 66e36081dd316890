from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from splicer.ipc import wire
from splicer.supervisor.processes import Process, reason
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
        process.send("serve", (fd,), slot=3)
        os.close(fd)
        heard = wire.receive(its)
        assert heard is not None
        assert heard[0] == {"version": wire.VERSION, "fds": 1, "do": "serve", "slot": 3}
        assert wire.read_text(heard[1][0]) == "text"


def test_one_that_does_not_listen_is_no_error() -> None:
    ours, its = channel()
    with ours:
        process = Process(1, 2, ours)
        with its:
            for _ in range(5000):
                process.send("reload", generation=1)
        process.send("stop")


def test_kill() -> None:
    ours, its = channel()
    with ours, its, subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as child:
        process = Process(child.pid, 2, ours)
        process.kill()
        assert child.wait(10) == -signal.SIGKILL
        process.kill()  # it is gone
