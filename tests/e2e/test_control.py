"""`splicer reload` and its like: how it went is an exit code and lines, not a search through a log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.e2e.test_command_line import Result, each, here, splicer
from tests.kit.edge import Edge, running
from tests.kit.site import Site
from tests.kit.wire import ask, until

_NEW = '[[routes]]\nname = "new"\npath = "/new"\nrespond = { status = 200 }\n'


@pytest.fixture
def site() -> Site:
    return Site(pods=1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    site = Site(pods=1)
    control = tmp_path_factory.mktemp("shared") / "control"
    with running(site.toml(), site, options=("--control", str(control))) as edge:
        yield edge


@pytest.fixture
async def edge(shared: Edge) -> AsyncIterator[Edge]:
    """The same for all tests, with the file that it began with."""
    yield shared
    await shared.reload(shared.site.toml())


@pytest.fixture
def own_edge(site: Site, tmp_path: Path) -> Iterator[Edge]:
    with running(site.toml(), site, options=("--control", str(tmp_path / "control"))) as edge:
        yield edge


@asynccontextmanager
async def stopped(edge: Edge) -> AsyncIterator[None]:
    """For less than the ten seconds after which its supervisor kills a worker that stands still."""
    worker = edge.worker
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


async def test_a_reload_that_succeeds(edge: Edge) -> None:
    assert (await ask(edge.address, "GET", "/new")).status == 404
    edge.write(edge.site.toml(routes=_NEW).replace("[server]", "[server]\nworkers = 2"))
    result = await splicer("reload", "-c", edge.path)
    assert (result.code, result.err) == (0, "")
    first, second, *_ = result.out.splitlines()
    assert first.startswith(f"{edge.path}: reloaded: ")
    assert '"new"' in first
    assert "workers" in second
    assert "splicer upgrade" in second
    assert (await ask(edge.address, "GET", "/new")).status == 200


async def test_a_reload_that_fails(edge: Edge) -> None:
    edge.write(edge.site.toml(routes=_NEW).replace("200 }", "2000 }").replace("[server]", "[server]\nworkrs = 2"))
    result = here("reload", "-c", edge.path)
    assert (result.code, result.out) == (1, "")
    *faults, last = result.err.splitlines()
    assert [line["fault"] for line in await edge.wait_lines(2, "reload_fault")] == [
        fault.removeprefix("splicer: ") for fault in faults
    ]
    assert len(faults) == 2
    assert last == f"splicer: {edge.path}: not reloaded; the old routes stay in force"


async def test_reloads_at_the_same_time_all_hear_how_it_went(edge: Edge) -> None:
    edge.write(edge.site.toml(routes=_NEW))
    [control] = [line.split()[-1] for line in _unix_sockets() if line.endswith("/control") and _is_its(line, edge)]
    commands = [["reload", "-c", str(edge.path)], ["reload", "--control", control]] * 2
    assert [result.code for result in await each(*commands)] == [0] * 4
    assert (await ask(edge.address, "GET", "/new")).status == 200


async def test_one_that_takes_too_long_is_still_under_way(edge: Edge) -> None:
    async with stopped(edge):
        result = here("reload", "-c", edge.path, "--timeout", "500ms")
        assert (result.code, result.out) == (1, "")
        [line] = result.err.splitlines()
        assert f"process {edge.pid} is still at it" in line
        assert here("reload", "-c", edge.path, "--no-wait").code == 0
    await edge.line("reload")
    assert here("reload", "-c", edge.path).code == 0


async def test_a_supervisor_that_is_killed_meanwhile(own_edge: Edge, nursery: trio.Nursery) -> None:
    edge = own_edge
    results: list[Result] = []

    async def reload() -> None:
        results.append(await splicer("reload", "-c", edge.path))

    os.kill(edge.worker, signal.SIGSTOP)
    nursery.start_soon(reload)
    await until(lambda: _clients(edge) > 0)
    edge.kill()
    await until(lambda: bool(results))
    assert (results[0].code, results[0].out) == (1, "")
    [line] = results[0].err.splitlines()
    assert "has ended" in line


def _clients(edge: Edge) -> int:
    control = next(line.split()[-1] for line in _unix_sockets() if line.endswith("/control") and _is_its(line, edge))
    return sum(line.split()[-1] == control and line.split()[5] == "03" for line in _unix_sockets())


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def _unix_sockets() -> list[str]:
    return Path("/proc/net/unix").read_text().splitlines()


def _is_its(line: str, edge: Edge) -> bool:
    return f"socket:[{line.split()[6]}]" in edge.open_files(edge.pid)


@pytest.mark.slow
async def test_what_a_killed_supervisor_left_is_in_nobodys_way(site: Site, tmp_path: Path) -> None:
    options = ("--control", str(tmp_path / "control"))
    with running(site.toml(), site, options=options) as edge:
        taken = await splicer("run", "-c", edge.path, *options)
        assert (taken.code, taken.out) == (1, "")
        [line] = taken.err.splitlines()
        assert "another process serves it" in line
        edge.kill()
    assert _names(tmp_path) == ["control"]
    with running(site.toml(), site, options=options):
        assert (await splicer("reload", *options)).code == 0
    assert _names(tmp_path) == []


@pytest.mark.slow
async def test_two_edges_of_one_user(site: Site, tmp_path: Path) -> None:
    """Each is found by its own file."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with running(site.toml(), site, environ=environ) as one, running(site.toml(), site, environ=environ) as another:
        assert len(_names(tmp_path)) == 2
        for edge in (one, another):
            assert (await splicer("reload", "-c", edge.path)).code == 0
            await edge.line("reload")  # its line may come after the command's own end
            assert len(edge.find("reload")) == 1


async def test_a_place_that_cannot_be(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    path.write_text(site.toml())
    for place, words in (("none/control", "No such file"), ("x" * 200, "too long"), ("routing.toml", "no socket")):
        result = await splicer("run", "-c", path, "--control", tmp_path / place)
        assert (result.code, result.out) == (1, "")
        [line] = result.err.splitlines()
        assert line.startswith("splicer: --control: ")
        assert words in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_another_user(edge: Edge) -> None:
    with tempfile.TemporaryDirectory(prefix="splicer-test-") as directory:
        path = Path(directory) / "control"
        path.parent.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            path.chmod(0o600)
            other.listen()
            code = (
                "import os\n"
                "from splicer.ops.control import CommandFailed, Supervisor\n"
                "from pathlib import Path\n"
                "os.setuid(65534)\n"
                f"try: Supervisor(Path('x'), None, Path({str(path)!r})).ask('reload', 5)\n"
                "except CommandFailed as failed: print(*failed.faults)\n"
            )
            done = await trio.run_process([sys.executable, "-c", code], capture_stdout=True, stderr=subprocess.STDOUT)
    assert b"Permission denied: be the user of `splicer run`, or root" in done.stdout


async def test_completion() -> None:
    words = {"_SPLICER_COMPLETE": "complete_bash", "COMP_WORDS": "splicer re", "COMP_CWORD": "1"}
    assert (await splicer(**words)).out.split() == ["reload", "recycle"]
