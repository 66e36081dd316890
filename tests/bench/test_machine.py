import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import machine
from bench.machine import (
    Load,
    Processors,
    cpu_seconds,
    description,
    disturbance,
    pinned,
    proportional,
    resident,
    settled_cpu_seconds,
)

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


@contextmanager
def program(code: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Python that has printed a line, and ends at the end of its stdin."""
    command = [sys.executable, "-c", f"{code}\nprint(flush=True)\ninput()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid, process
        process.communicate("\n")


def test_the_first_processors_are_the_proxys() -> None:
    four = Processors((2, 3, 5, 7))
    assert [sorted(cpus) for cpus in (four.proxy(), four.load())] == [[2], [3, 5, 7]]
    assert [sorted(cpus) for cpus in (four.proxy(2), four.load(2))] == [[2, 3], [5, 7]]
    assert not four.shared(2)


def test_load_and_proxy_meet_where_there_is_no_processor_left() -> None:
    two = Processors((0, 1))
    assert [sorted(cpus) for cpus in (two.proxy(2), two.load(2))] == [[0, 1], [1]]
    assert two.shared(2)
    assert not two.shared()
    assert Processors((4,)).shared()
    assert Processors((4,)).load() == {4}


def test_a_pinned_process_gets_its_processors_back() -> None:
    before = os.sched_getaffinity(0)
    with pinned({min(before)}):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


def test_cpu_of_children_that_ended_is_counted() -> None:
    burn_in_a_child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"
    with program(burn_in_a_child) as (pid, _):
        assert cpu_seconds([pid]) >= 0.3


def test_cpu_of_threads_that_ended_is_counted() -> None:
    code = f"import threading\none = threading.Thread(target=exec, args=({BURN!r}, {{}}))\none.start(); one.join()"
    with program(code) as (pid, _):
        assert cpu_seconds([pid]) >= 0.3


def test_cpu_is_told_finer_than_a_clock_tick() -> None:
    with program("") as (pid, _):
        assert cpu_seconds([pid]) * 100 % 1 != 0


def test_a_process_that_has_ended_takes_nothing() -> None:
    with program("") as (pid, _):
        pass
    assert cpu_seconds([pid]) == 0
    assert resident([pid]) == 0


def test_cpu_settles_when_nothing_runs() -> None:
    with program("") as (pid, _):
        assert settled_cpu_seconds([pid]) == cpu_seconds([pid])


def test_resident_memory_is_the_sum_of_all() -> None:
    mebibytes = 64
    with program("") as (small, _), program(f"data = bytearray(b'x') * {mebibytes << 20}") as (large, _):
        assert resident([large]) - resident([small]) == pytest.approx(mebibytes << 20, rel=0.1)
        assert resident([large, small]) > resident([large])


def test_proportional_memory_counts_a_shared_page_once() -> None:
    code = f"import os, time; data = bytearray(b'x') * {64 << 20}\nif not os.fork(): time.sleep(60)"
    with program(code) as (pid, _):
        child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        try:
            assert proportional([pid, child]) == pytest.approx(resident([pid]), rel=0.2)
            assert resident([pid, child]) > 1.8 * resident([pid])
        finally:
            os.kill(child, signal.SIGKILL)


def test_others_are_those_that_we_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = ["sh", "-c", 'setsid "$0" -c "$1" & echo $!', sys.executable, f"{BURN}\nprint(flush=True)\ninput()"]
    with subprocess.Popen(orphan, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        shell.wait()
        shell.stdout.readline()
        # Of the whole machine, whose other processes come and go meanwhile, these two alone.
        stats = [(one, stat) for one, stat in machine._stats() if one in (pid, os.getpid())]
        monkeypatch.setattr(machine, "_stats", lambda: stats)
        assert Load.now().others >= 0.3
        assert Load.now([pid]).others == 0
        os.kill(pid, 9)


def test_what_a_process_has_reaped_is_its_own_in_the_sum_and_not_among_others() -> None:
    """Whom a peer leaves behind is reaped by init: that is no time of others."""
    reaper = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"
    with program(reaper) as (pid, _):
        assert cpu_seconds([pid]) >= 0.3
        assert machine._own(pid) < 0.3


def test_much_is_a_twentieth_of_the_machine() -> None:
    cpus = os.cpu_count() or 1
    begin = Load(when=0.0, others=5.0, stolen=1.0)
    assert disturbance(begin, Load(10.0, 5.0 + 0.4 * cpus, 1.0)).share == pytest.approx(0.04)
    assert not disturbance(begin, Load(10.0, 5.0 + 0.4 * cpus, 1.0)).much
    assert str(disturbance(begin, Load(10.0, 5.0 + 2.0 * cpus, 1.0))) == "other processes took 20% of the machine"
    assert str(disturbance(begin, Load(10.0, 5.0, 1.0 + cpus))) == "the machine's host took 10% of the machine"


def test_the_machine_is_described() -> None:
    told = description(Processors((0, 1)))
    assert told["proxy on"] == "0"
    assert told["load on"] == "1"
    assert all(told.values())
