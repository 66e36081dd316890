"""The edge's process as the demo has it, with a program in its place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from splicer.demo.edge import Edge, running_edge
from splicer.demo.failure import DemoFailed

_READY = "print(json.dumps({'event': 'ready', 'listen': ['127.0.0.1:4711']}), flush=True)"
Replace = Callable[[str], None]


@pytest.fixture
def replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Has a program take the place of `splicer run`."""

    def replace(program: str) -> None:
        file = tmp_path / "program.py"
        file.write_text(f"import json, os, signal, sys, time\n{program}\n")
        interpreter = tmp_path / "python"
        interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{file}" "$@"\n')
        interpreter.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(interpreter))

    return replace


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_is_there_within_the_block(replace: Replace, tmp_path: Path) -> None:
    replace(f"{_READY}\nprint('some noise', flush=True)\ntime.sleep(60)")
    with trio.fail_after(20):
        async with running_edge(tmp_path, 0) as edge:
            assert edge.address == "127.0.0.1:4711"
            assert edge.file == tmp_path / "routing.toml"
            assert b"[upstreams.any-pod]" in edge.file.read_bytes()
            assert await edge.next_entry() == {"event": "some noise"}
            assert is_there(edge.pid)
        assert not is_there(edge.pid), "it is reaped"


async def test_it_runs_the_demos_file_on_the_wanted_port(replace: Replace, tmp_path: Path) -> None:
    replace(
        "told = [sys.argv[1:], os.environ['SPLICER_DEMO_PORT'], os.getpgid(0) == os.getpid()]\n"
        f"open({str(tmp_path / 'told')!r}, 'w').write(json.dumps(told))\n{_READY}\ntime.sleep(60)"
    )
    with trio.fail_after(20):
        async with running_edge(tmp_path, 7070):
            told = json.loads((tmp_path / "told").read_text())
    line = ["-m", "splicer", "run", "-c", str(tmp_path / "routing.toml")]
    assert told == [line, "7070", True], "and a terminal's Ctrl-C does not reach it"


async def test_one_that_does_not_end_is_killed_after_six_seconds(
    replace: Replace, tmp_path: Path, mock_clock: MockClock
) -> None:
    replace(f"signal.signal(signal.SIGINT, signal.SIG_IGN)\n{_READY}\nwhile True: time.sleep(60)")
    begun = trio.current_time()
    async with running_edge(tmp_path, 0) as edge:
        mock_clock.autojump_threshold = 3.0  # real seconds: a process that is killed ends by then
    assert trio.current_time() - begun == pytest.approx(6.0)
    assert edge._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("print('no such thing'); sys.exit(3)", "the edge has ended: no such thing"),
        ("sys.exit('told on stderr')", "the edge has ended: told on stderr"),
        ("sys.exit(3)", "the edge has ended: it said nothing"),
    ],
)
async def test_one_that_does_not_start_is_told(replace: Replace, tmp_path: Path, program: str, fault: str) -> None:
    replace(program)
    with trio.fail_after(20), pytest.raises(BaseExceptionGroup) as raised:
        async with running_edge(tmp_path, 0):
            raise AssertionError
    assert raised.group_contains(DemoFailed, match=f"^{fault}$")


async def test_one_that_says_nothing_is_waited_for_half_a_minute(
    replace: Replace, tmp_path: Path, mock_clock: MockClock
) -> None:
    replace("time.sleep(60)")
    mock_clock.autojump_threshold = 3.0  # real seconds: a process that is killed ends by then
    begun = trio.current_time()
    with pytest.raises(BaseExceptionGroup) as raised:
        async with running_edge(tmp_path, 0):
            raise AssertionError
    assert raised.group_contains(DemoFailed, match="^starting the edge: not done in time$")
    assert trio.current_time() - begun == pytest.approx(30.0)


async def test_an_entry_is_the_next_one_of_its_event_and_route() -> None:
    entries = [
        {"event": "exchange", "route": "other"},
        {"event": "tunnel_close", "route": "wanted"},
        {"event": "exchange"},
        {"event": "exchange", "route": "wanted", "status": 1},
        {"event": "exchange", "route": "wanted", "status": 2},
        {"event": "exchange", "n": 3},
    ]
    lines = "\\n".join(map(json.dumps, entries))
    command = [sys.executable, "-c", f"print('{lines}')"]
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, command, stdout=subprocess.PIPE)
        edge = Edge(await nursery.start(start), Path("routing.toml"))
        nursery.start_soon(edge.read_log)
        assert (await edge.entry("exchange", "wanted"))["status"] == 1
        assert await edge.entry("exchange") == {"event": "exchange", "n": 3}
        assert await edge.next_entry() is None


@pytest.mark.parametrize(("status", "fault"), [(0, None), (3, "the edge has ended with status 3: last words")])
async def test_an_edge_that_ends_on_its_own_is_noticed(status: int, fault: str | None) -> None:
    command = [sys.executable, "-c", f"print('[1]\\nlast words'); exit({status})"]
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, command, stdout=subprocess.PIPE, check=False)
        edge = Edge(await nursery.start(start), Path("routing.toml"))
        nursery.start_soon(edge.read_log)
        assert await edge.next_entry() == {"event": "[1]"}
        with pytest.raises(DemoFailed, match=r"^the edge has ended: last words$"):
            await edge.entry("ready")
        with pytest.raises(DemoFailed, match=f"^{fault}$") if fault else nullcontext():
            await edge.ended()
