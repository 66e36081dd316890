"""The killer finds workers, and nobody else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from random import Random

import pytest
import trio

from tests.kit.wire import until
from tests.kit.workers import kill_and_see, worker_pids
from tests.stress.kills import Killer

_TITLED = "import setproctitle, sys; setproctitle.setproctitle({title!r}); sys.stdin.read()"
_SUPERVISOR = """
import subprocess, sys, time
TITLES = ["splicer: worker 1", "splicer: worker 12", "splicer: spare", "splicer: admin", "my splicer: worker 3"]
def start(title):
    return subprocess.Popen([sys.executable, "-c", CODE.replace("TITLE", title)], stdin=subprocess.PIPE)
children = {title: start(title) for title in TITLES}
while True:
    for title, child in children.items():
        if child.poll() is not None:
            print(title, flush=True)
            children[title] = start(title)
    time.sleep(0.01)
"""


def _start(code: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


@pytest.fixture
def supervisor() -> Iterator[subprocess.Popen[bytes]]:
    process = _start(f"CODE = {_TITLED.format(title='TITLE')!r}\n{_SUPERVISOR}")
    with process:
        yield process
        process.kill()


async def test_it_kills_workers_and_nobody_else(supervisor: subprocess.Popen[bytes]) -> None:
    with _start(_TITLED.format(title="splicer: worker 1")) as stranger:
        await until(lambda: set(worker_pids(supervisor.pid)) == {1, 12})
        before = worker_pids(supervisor.pid)
        killer = Killer(lambda: worker_pids(supervisor.pid), Random(1), pause=0.02, refill=True)
        await killer.run(6)
        after = worker_pids(supervisor.pid)
        assert stranger.poll() is None
    assert killer.kills == 6
    assert killer.slowest_refill > 0
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    supervisor.kill()
    assert supervisor.stdout
    told = supervisor.stdout.read()
    assert len(told.splitlines()) == 6
    assert set(told.splitlines()) == {b"splicer: worker 1", b"splicer: worker 12"}


async def test_whoever_was_killed_is_dead() -> None:
    with _start("input()") as process:
        await kill_and_see(process.pid)
        assert process.poll() == -9
    await kill_and_see(process.pid)
    assert worker_pids(process.pid) == {}


async def test_no_worker_ever() -> None:
    with pytest.raises(trio.TooSlowError):
        await Killer(dict, Random(1), patience=0.05).run(1)
