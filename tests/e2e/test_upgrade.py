"""`splicer upgrade`: the same process goes on with the code and the file now on disk, or with the old if these fail.

The edge of these tests runs a copy of the package, which they change.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from operator import gt
from pathlib import Path
from random import Random

import pytest
import trio

from tests.e2e.test_command_line import each, splicer
from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, Line, running, session_of
from tests.kit.fleet import ask_at, echoes, kill_worker, only, several, tunnel_at
from tests.kit.http import Message
from tests.kit.pods import raw_pod, switching, tunnel_pod
from tests.kit.site import Place, Site, free_port
from tests.kit.wire import TIMEOUT, EndOfStream, Wire, ask, dial, until
from tests.kit.workers import worker_pids

_PACKAGE = Path(__file__).parents[2] / "splicer"
_VERSIONS = ["supervisor/state.py", "vault/protocol.py", "ipc/wire.py"]
_RAISES = "raise RuntimeError('a bug')\n"


class Code:
    """A copy of the package, to be changed.

    Args:
        directory: where `python -m splicer` finds it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Other processes may be writing bytecode there, each to a file that it renames: `.pyc.4711`.
        shutil.copytree(_PACKAGE, directory / "splicer", ignore=shutil.ignore_patterns("*.pyc.*"))
        self._times = itertools.count(1_000_000_000)

    def replace(self, path: str, old: str, new: str) -> None:
        """Change a file, which has this text once. Its time is another one: or else the old bytecode would be taken.

        A process that starts meanwhile reads the one or the other, never a part.
        """
        file = self.directory / "splicer" / path
        text = file.read_text()
        assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
        beside = file.with_suffix(".new")
        beside.write_text(text.replace(old, new))
        time = next(self._times)
        os.utime(beside, (time, time))
        beside.replace(file)

    @contextmanager
    def changed(self, changes: dict[str, tuple[str, str]]) -> Iterator[None]:
        """For a while: path → what there is, and what there shall be."""
        for path, (old, new) in changes.items():
            self.replace(path, old, new)
        try:
            yield
        finally:
            for path, (old, new) in changes.items():
                self.replace(path, new, old)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    return Code(tmp_path_factory.mktemp("code"))


@pytest.fixture(scope="module")
def edge(code: Code) -> Iterator[Edge]:
    site = Site()
    with running(several(site), site, code=code.directory) as edge:
        yield edge


@pytest.fixture
def own_code(tmp_path: Path) -> Code:
    return Code(tmp_path / "code")


@pytest.fixture
def own_edge(own_code: Code) -> Iterator[Edge]:
    """For those who end it, or leave it in another state."""
    site = Site(pods=2)
    with running(several(site), site, code=own_code.directory) as edge:
        yield edge


@pytest.fixture
async def own_place(own_edge: Edge, nursery: trio.Nursery) -> Place:
    place = own_edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    return place


async def at_rest(edge: Edge, workers: int = 2, *others: str) -> None:
    """No worker leaves, and no upgrade is under way."""
    wanted = {f"splicer: worker {slot}" for slot in range(1, workers + 1)} | {"splicer: spare", *others}
    await until(lambda: {title for pid, title in session_of(edge.pid) if pid != edge.pid} == wanted)


async def upgrade(edge: Edge) -> list[Line]:
    """SIGUSR2, and what the log says of it until it is over."""
    edge.mark()
    edge.signal(signal.SIGUSR2)
    return await upgraded(edge)


async def upgraded(edge: Edge) -> list[Line]:
    """What the log says of an upgrade until it is over."""
    await edge.line(("upgraded", "upgrade_failed"))
    return edge.find(("upgrade", "upgraded", "upgrade_fault", "upgrade_failed"))


def events(lines: list[Line]) -> set[str]:
    return {line["event"] for line in lines}


class Talk:
    """Frames that go on all the time.

    Args:
        wires: where.
    """

    def __init__(self, wires: list[Wire]) -> None:
        self.counts = [0] * len(wires)
        self.wires = wires

    async def run(self, number: int) -> None:
        while True:
            await echoes(self.wires[number], b"steady")
            self.counts[number] += 1
            await trio.sleep(0.02)

    async def goes_on(self) -> None:
        """Everywhere."""
        before = list(self.counts)
        await until(lambda: all(map(gt, self.counts, before)))


@asynccontextmanager
async def talking(edge: Edge, place: Place) -> AsyncIterator[Talk]:
    """A call at each worker, and frames in it all the time; in the end they still work."""
    async with AsyncExitStack() as stack:
        slots = list(worker_pids(edge.pid))
        wires = [await stack.enter_async_context(tunnel_at(edge, slot, f"/ws/{place.name}/{slot}")) for slot in slots]
        talk = Talk(wires)
        async with trio.open_nursery() as nursery:
            for number in range(len(wires)):
                nursery.start_soon(talk.run, number)
            yield talk
            await talk.goes_on()
            nursery.cancel_scope.cancel()


def renamed(name: str) -> dict[str, tuple[str, str]]:
    """Code that answers in another way."""
    return {"session/respond.py": ("{HTTPStatus(status).phrase}", name)}


# ---- it succeeds ----


async def test_the_new_code_goes_on_with_the_calls(edge: Edge, place: Place, code: Code) -> None:
    await at_rest(edge)
    before, supervisor = worker_pids(edge.pid), edge.pid
    async with talking(edge, place) as talk:
        assert (await ask(edge.address, "GET", "/nowhere")).body == b"404 Not Found\n"
        with code.changed(renamed("from the new code")):
            assert events(await upgrade(edge)) == {"upgrade", "upgraded"}
            for slot in (1, 2):
                with only(edge, slot):
                    assert (await ask(edge.address, "GET", "/nowhere")).body == b"404 from the new code\n"
            await talk.goes_on()
            await kill_worker(edge, 1)
        assert events(await upgrade(edge)) == {"upgrade", "upgraded"}
    assert (await ask(edge.address, "GET", "/nowhere")).body == b"404 Not Found\n"
    await at_rest(edge)
    assert not set(before.values()) & set(worker_pids(edge.pid).values())
    assert edge.pid == supervisor
    assert all(line["adopted"] >= 2 for line in await edge.wait_lines(2, "tunnel_close"))


async def test_what_is_under_way_is_finished(edge: Edge, nursery: trio.Nursery) -> None:
    """A handshake that waits for its pod, and a connection that has sent half a head."""
    await at_rest(edge)
    slow, go_on, asked = edge.site.take(), trio.Event(), trio.Event()

    async def pod(wire: Wire) -> None:
        head = await wire.head()
        asked.set()
        await go_on.wait()
        await wire.send(switching(head) + b"hello")
        await wire.end()

    await raw_pod(nursery, slow.address, slow.port, pod)
    async with dial(edge.address) as shaking, dial(edge.address) as half:
        await shaking.send(handshake(f"/ws/{slow.name}/x"))
        await half.send(b"GET /health HTTP/1.1\r\n")
        await asked.wait()
        edge.signal(signal.SIGUSR2)
        await edge.line("upgrade")
        await half.send(b"Host: edge.test\r\n\r\n")
        assert (await half.reply()).status == 200
        go_on.set()
        assert (await shaking.head()).startswith(b"HTTP/1.1 101 ")
        assert await shaking.exactly(5) == b"hello"
        await edge.line("upgraded")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 1])
@pytest.mark.parametrize("paths", [*([path] for path in _VERSIONS), _VERSIONS], ids=[*_VERSIONS, "all"])
async def test_one_version_ahead(
    own_edge: Edge, own_code: Code, nursery: trio.Nursery, paths: list[str], workers: int
) -> None:
    """A worker of the old code dies in the middle of it; with fewer workers, calls change their slot."""
    edge = own_edge
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    await at_rest(edge)
    before = worker_pids(edge.pid)
    async with talking(edge, place) as talk, AsyncExitStack() as stack:
        with only(edge, 2):
            half = await stack.enter_async_context(dial(edge.address))
            await half.send(b"GET /health HTTP/1.1\r\n")
        edge.write(several(edge.site, workers))
        for path in paths:
            own_code.replace(path, "\nVERSION = 1\n", "\nVERSION = 2\n")
        edge.signal(signal.SIGUSR2)
        await edge.line(("upgrade", "upgrade_failed"))
        await half.send(b"Host: edge.test\r\n\r\n")
        assert (await half.reply()).status == 200
        assert events(await upgraded(edge)) == {"upgrade", "upgraded"}
        await at_rest(edge, workers)
        assert not set(before.values()) & set(worker_pids(edge.pid).values())
        await kill_worker(edge, 1)
        await talk.goes_on()


@pytest.mark.slow
async def test_changed_addresses_and_workers(nursery: trio.Nursery) -> None:
    """A reload can't put them in force."""
    site = Site(pods=2)
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)

    def text(workers: int, port: int, admin: int) -> str:
        made = several(site, workers, admin=f"127.0.0.1:{admin}")
        return made.replace('listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{port}"')

    first, second = (free_port(), free_port()), (free_port(), free_port())
    with running(text(1, *first), site) as edge:
        async with tunnel(edge, f"/ws/{place.name}/x") as call:
            for workers, ports, gone in ((3, second, first), (1, first, second)):
                edge.write(text(workers, *ports))
                assert events(await upgrade(edge)) == {"upgrade", "upgraded"}
                assert edge.find("upgraded")[0]["workers"] == workers
                await at_rest(edge, workers, "splicer: admin")
                await echoes(call)
                for port in ports:
                    target = "/health" if port == ports[0] else "/healthz"
                    assert (await until_answered(("127.0.0.1", port), target)).status == 200
                for port in gone:
                    with pytest.raises(ConnectionRefusedError):
                        await ask(("127.0.0.1", port), "GET", "/health")
                status = json.loads((await ask(("127.0.0.1", ports[1]), "GET", "/status", host="127.0.0.1")).body)
                assert [worker["slot"] for worker in status["workers"]] == list(range(1, workers + 1))


async def until_answered(address: tuple[str, int], target: str) -> Message:
    """The admin process is a new one, too, and comes when it comes."""
    with trio.fail_after(TIMEOUT):
        while True:
            with suppress(ConnectionRefusedError, EndOfStream, trio.BrokenResourceError):
                return await ask(address, "GET", target, host="127.0.0.1")
            await trio.sleep(0.05)


@pytest.mark.slow
async def test_during_a_drain(own_edge: Edge, own_code: Code, nursery: trio.Nursery) -> None:
    edge = own_edge
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with talking(edge, place) as talk:
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        with own_code.changed(renamed("from the new code")):
            assert events(await upgrade(edge)) == {"upgrade", "upgraded"}
        reply = await ask(edge.address, "GET", "/ready")
        assert (reply.status, reply.body) == (503, b"draining\n")
        assert (await ask(edge.address, "GET", "/nowhere")).body == b"404 from the new code\n"
        await talk.goes_on()
        await kill_worker(edge, 1)
    assert await edge.exit_code() == 0
    assert edge.find("stopped")


# ---- it fails, and the old goes on ----


async def fails(edge: Edge, place: Place, *words: str, broken: AbstractContextManager[None] | None = None) -> None:
    """Nothing changes, and the log says why.

    Args:
        edge: to be upgraded.
        place: of a pod that echoes.
        words: in what the log says.
        broken: changes the code; not before the spare is there, which would fail, too.
    """
    await at_rest(edge)
    before = worker_pids(edge.pid)
    async with talking(edge, place):
        with broken or nullcontext():
            assert events(await upgrade(edge)) == {"upgrade_fault", "upgrade_failed"}
        [failed] = edge.find("upgrade_failed")
        assert failed["kept"] == "the old code"
        faults = " ".join(line["fault"] for line in edge.find("upgrade_fault"))
        assert all(word in faults for word in words), faults
        assert worker_pids(edge.pid) == before
        assert (await ask(edge.address, "GET", "/nowhere")).body == b"404 Not Found\n"


@pytest.mark.slow
async def test_a_broken_file(edge: Edge, place: Place) -> None:
    good = edge.path.read_text()
    edge.write(good.replace("workers", "workrs"))
    await fails(edge, place, "workrs", str(edge.path))
    edge.write(good)
    assert events(await upgrade(edge)) == {"upgrade", "upgraded"}


async def test_code_that_can_not_be_imported(edge: Edge, place: Place, code: Code) -> None:
    broken = code.changed({"worker/worker.py": ("\nimport os\n", f"\nimport os\n{_RAISES}")})
    await fails(edge, place, "worker", broken=broken)
    assert "RuntimeError: a bug" in edge.take_stderr()


async def test_a_worker_that_can_not_be_prepared(edge: Edge, place: Place, code: Code) -> None:
    line = "        prepared = await self._read(fd)\n"
    await fails(edge, place, "worker", broken=code.changed({"worker/worker.py": (line, f"        {_RAISES}{line}")}))
    assert "RuntimeError: a bug" in edge.take_stderr()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("supervisor.py", "import os"),
        ("upgrade.py", "import os"),
        ("__main__.py", "import os"),
    ],
)
async def test_a_supervisor_that_can_not_be_imported(
    own_edge: Edge, own_place: Place, own_code: Code, path: str, line: str
) -> None:
    """The exec comes later: it must not be the first one to find out."""
    broken = own_code.changed({f"supervisor/{path}": (f"\n{line}\n", f"\n{line}\n{_RAISES}")})
    await fails(own_edge, own_place, broken=broken)
    own_edge.take_stderr()


@pytest.mark.slow
async def test_an_admin_process_that_can_not_be_imported(own_code: Code, nursery: trio.Nursery) -> None:
    """No call needs it: it is told of, and comes when it can."""
    site = Site(pods=2)
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)
    with running(several(site, admin=f"127.0.0.1:{free_port()}"), site, code=own_code.directory) as edge:
        async with talking(edge, place) as talk:
            with own_code.changed({"admin/process.py": ("\nfrom __future__ import annotations\n", f"\n{_RAISES}")}):
                await upgrade(edge)
                await talk.goes_on()
            await until(lambda: "splicer: admin" in [title for _, title in session_of(edge.pid)])
        edge.take_stderr()


async def test_two_versions_ahead(edge: Edge, place: Place, code: Code) -> None:
    broken = code.changed({"supervisor/state.py": ("\nVERSION = 1\n", "\nVERSION = 3\n")})
    await fails(edge, place, "version", broken=broken)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["vault/protocol.py", "ipc/wire.py"])
async def test_two_versions_of_the_messages_ahead(own_edge: Edge, own_place: Place, own_code: Code, path: str) -> None:
    """The workers that live would not be understood."""
    broken = own_code.changed({path: ("\nVERSION = 1\n", "\nVERSION = 3\n")})
    await fails(own_edge, own_place, "version", broken=broken)


@pytest.mark.slow
async def test_an_address_that_is_taken(own_edge: Edge, own_place: Place) -> None:
    """The new file listens where somebody else does: the old address must not be given up for it."""
    edge, good = own_edge, own_edge.path.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        edge.write(good.replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
        try:
            await fails(edge, own_place, "in use")
        finally:
            edge.write(good)


# ---- other signals meanwhile ----


@pytest.mark.slow
async def test_five_in_quick_succession(edge: Edge, place: Place) -> None:
    await at_rest(edge)
    async with talking(edge, place):
        for _ in range(5):
            edge.signal(signal.SIGUSR2)
            await trio.sleep(0.05)
        await edge.line("upgraded")
        await at_rest(edge)
    assert not edge.find(("upgrade_failed", "upgrade_fault"))


@pytest.mark.slow
async def test_signals_mixed(edge: Edge, place: Place) -> None:
    await at_rest(edge)
    async with talking(edge, place):
        chance = Random(3)
        for _ in range(30):
            edge.signal(chance.choice([signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP]))
            await trio.sleep(chance.choice([0, 0.1, 0.5, 1.5]))
        edge.mark()
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        await at_rest(edge)
    assert not edge.find(("upgrade_failed", "upgrade_fault", "reload_failed"))


@pytest.mark.slow
async def test_recycle_and_upgrade_mixed(edge: Edge, place: Place) -> None:
    await at_rest(edge)
    async with talking(edge, place):
        before = worker_pids(edge.pid)
        edge.signal(signal.SIGUSR1)
        edge.signal(signal.SIGUSR2)
        await trio.sleep(0.3)
        edge.signal(signal.SIGUSR1)
        await edge.line(("upgraded", "recycled"))
        await edge.line("upgraded")
        await at_rest(edge)
        assert not set(before.values()) & set(worker_pids(edge.pid).values())


def new_route(path: str) -> str:
    return f'[[routes]]\nname = "new"\npath = "{path}"\nrespond = {{ status = 200 }}\n'


@pytest.mark.parametrize("pause", [0.0, *(pytest.param(pause, marks=pytest.mark.slow) for pause in (0.1, 0.5))])
async def test_a_reload_during_an_upgrade(edge: Edge, place: Place, pause: float) -> None:
    """The newest file is in force in the end, whoever read it first."""
    await at_rest(edge)
    async with talking(edge, place):
        edge.signal(signal.SIGUSR2)
        await trio.sleep(pause)
        edge.write(several(edge.site, routes=new_route(f"/new-{pause}")))
        edge.signal(signal.SIGHUP)
        await edge.line("upgraded")
        await at_rest(edge)
        with trio.move_on_after(2):
            while (await ask(edge.address, "GET", f"/new-{pause}")).status != 200:  # noqa: ASYNC110 - see `until`
                await trio.sleep(0.1)
        for slot in (1, 2):
            assert (await ask_at(edge, slot, f"/new-{pause}")).status == 200


@pytest.mark.slow
async def test_a_reload_while_the_new_code_is_tried(own_edge: Edge, own_code: Code) -> None:
    """The trial has read the old file already when the new one is put in force."""
    edge = own_edge
    await at_rest(edge)
    hold = own_code.directory / "hold"
    wait = f"import time, pathlib\nwhile pathlib.Path({str(hold)!r}).exists():\n    time.sleep(0.01)\n"
    hold.touch()
    with own_code.changed({"worker/worker.py": ("\nimport os\n", f"\nimport os\n{wait}")}):
        edge.signal(signal.SIGUSR2)
        await until(lambda: any("splicer.supervisor.preflight" in title for _, title in session_of(edge.pid)))
        await until(lambda: sum(title.startswith("splicer: spare") for _, title in session_of(edge.pid)) == 1)
        await until(lambda: any("splicer.worker" in title for _, title in session_of(edge.pid)))
        edge.write(several(edge.site, routes=new_route("/new")))
        edge.signal(signal.SIGHUP)
        await edge.line("reload")
        assert (await ask(edge.address, "GET", "/new")).status == 200
        hold.unlink()
        await edge.line("upgraded")
        await at_rest(edge)
        assert (await ask(edge.address, "GET", "/new")).status == 200


# ---- the commands ----


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
        assert edge.find(event)
        assert not set(before.values()) & set(worker_pids(edge.pid).values())


@pytest.mark.slow
async def test_the_commands_tell_how_it_went(edge: Edge, place: Place, code: Code) -> None:
    await at_rest(edge)
    line = "\nfrom enum import StrEnum\n"
    async with talking(edge, place) as talk:
        assert (await splicer("recycle", "-c", edge.path)).code == 0
        await talk.goes_on()
        before = worker_pids(edge.pid)
        with code.changed({"supervisor/outcomes.py": (line, f"{line}{_RAISES}")}):
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
        assert edge.find("upgrade")
        assert edge.find(("upgraded", "recycled"))


@pytest.mark.slow
async def test_a_supervisor_that_was_started_with_a_relative_path(tmp_path: Path) -> None:
    """It is found by any name of its file, seen from anywhere."""
    site, path = Site(pods=1), tmp_path / "routing.toml"
    path.write_text(site.toml())
    environ = {**os.environ, "PYTHONPATH": str(_PACKAGE.parent)}
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


async def test_errors_of_the_commands(tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    path.write_text(Site(pods=1).toml())
    gone = await trio.run_process(["true"], check=False)
    assert gone.returncode == 0
    nobody = await each(*([command, "-c", str(path)] for command in ("reload", "upgrade", "recycle", "handover")))
    for result in nobody:
        assert (result.code, result.out, result.err) == (1, "", f"splicer: {path}: nobody runs it\n")
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
