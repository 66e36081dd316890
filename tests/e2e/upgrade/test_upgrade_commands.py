"""The commands around an upgrade, and the process that they find."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio

from tests.e2e.test_command_line import each, splicer
from tests.e2e.upgrade.code import PACKAGE, RAISES, Code
from tests.e2e.upgrade.upgrading import at_rest, talking
from tests.kit.edge import Edge
from tests.kit.site import Place, Site
from tests.kit.wire import until
from tests.kit.workers import worker_pids


def seen_from_here(path: Path) -> str:
    return os.path.relpath(path)


@pytest.mark.slow
async def test_the_commands_find_the_process(edge: Edge, tmp_path: Path) -> None:
    await at_rest(edge)
    for command, event, how in (
        ("upgrade", "upgraded", ["-c", str(edge.path)]),
        ("recycle", "recycled", ["-c", seen_from_here(edge.path)]),
        ("recycle", "recycled", ["--pid", str(edge.pid)]),
    ):
        before = worker_pids(edge.pid)
        edge.mark()
        result = await splicer(command, *how)
        assert (result.code, result.out, result.err) == (0, f"{event}: 2 new workers serve\n", "")
        await edge.line(event)  # its line may come after the command's own end
        assert not set(before.values()) & set(worker_pids(edge.pid).values())


@pytest.mark.slow
async def test_the_commands_tell_how_it_went(edge: Edge, place: Place, code: Code) -> None:
    await at_rest(edge)
    line = "\nfrom enum import StrEnum\n"
    async with talking(edge, place) as talk:
        assert (await splicer("recycle", "-c", edge.path)).code == 0
        await talk.goes_on()
        before = worker_pids(edge.pid)
        with code.changed({"supervisor/outcomes.py": (line, f"{line}{RAISES}")}):
            failed = await splicer("upgrade", "-c", edge.path)
        assert (failed.code, failed.out) == (1, "")
        why, last = failed.err.splitlines()
        assert "the new code can't take over: RuntimeError('a bug')" in why
        assert last == "splicer: not upgraded; the old code goes on"
        assert worker_pids(edge.pid) == before


@pytest.mark.slow
async def test_who_waits_for_something_else_hears_of_it_after_an_upgrade(edge: Edge, place: Place) -> None:
    await at_rest(edge)
    async with talking(edge, place):
        edge.mark()
        results = await each(*([command, "-c", str(edge.path)] for command in ("upgrade", "recycle", "reload") * 2))
        assert [result.code for result in results] == [0] * 6, results
        await edge.line("upgrade")
        await edge.line(("upgraded", "recycled"))


@pytest.mark.slow
async def test_a_supervisor_that_was_started_with_a_relative_path(tmp_path: Path) -> None:
    """It is found by any name of its file, seen from anywhere."""
    site, path = Site(pods=1), tmp_path / "routing.toml"
    path.write_text(site.toml())
    environ = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "splicer", "run", "-c", "routing.toml"]
    with (tmp_path / "out").open("wb") as out:
        process = await trio.lowlevel.open_process(command, cwd=tmp_path, stdout=out, env=environ)
    try:
        await until(lambda: '"ready"' in (tmp_path / "out").read_text())
        for name in (str(path), seen_from_here(path)):
            assert (await splicer("recycle", "-c", name)).code == 0
            await until(lambda: '"recycled"' in (tmp_path / "out").read_text())
            (tmp_path / "out").write_text("")
    finally:
        process.terminate()
        await process.wait()


NOBODY = "nobody runs it; name the file of `splicer run` with -c, or its process with --pid"


async def test_errors_of_the_commands(tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    path.write_text(Site(pods=1).toml())
    gone = await trio.run_process(["true"], check=False)
    assert gone.returncode == 0
    nobody = await each(*([command, "-c", str(path)] for command in ("reload", "upgrade", "recycle", "handover")))
    for result in nobody:
        assert (result.code, result.out, result.err) == (1, "", f"splicer: {path}: {NOBODY}\n")
    no_process, no_number, zero = await each(
        ["upgrade", "--pid", str(2**22 + 1)], ["recycle", "--pid", "x"], ["recycle", "--pid", "0"]
    )
    assert (no_process.code, len(no_process.err.splitlines())) == (1, 1)
    assert (no_number.code, zero.code) == (2, 2)


async def test_a_pid_that_is_no_supervisors() -> None:
    """SIGUSR2 would end whatever it is."""
    process = await trio.lowlevel.open_process(["sleep", "60"])
    try:
        result = await splicer("upgrade", "--pid", str(process.pid))
        assert process.poll() is None
        assert (result.code, len(result.err.splitlines())) == (1, 1)
    finally:
        process.kill()
        await process.wait()
