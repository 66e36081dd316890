"""Whatever is raised, wherever in a worker: no call is closed by it but the one that it is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from attrs import frozen

from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import ask_at, echoes, kill_worker, only, patched, several, slot_of, tunnel_at
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import EndOfStream, until
from tests.kit.workers import worker_pids

_PLACES = {
    "log.opened": "splicer.observe.access_log:AccessLog.tunnel_opened",
    "log.closed": "splicer.observe.access_log:AccessLog.tunnel_closed",
    "log.ended": "splicer.observe.access_log:AccessLog.exchange_ended",
    "log.crashed": "splicer.observe.access_log:AccessLog.crashed",
    "metrics.opened": "splicer.observe.metrics:Metrics.tunnel_opened",
    "metrics.over": "splicer.observe.metrics:Metrics.tunnel_over",
    "metrics.ended": "splicer.observe.metrics:Metrics.exchange_ended",
    "metrics.crashed": "splicer.observe.metrics:Metrics.crashed",
    "endpoints": "splicer.upstream.status:EndpointStates.learn",
    "parse": "splicer.session.connection:parse_request",
    "close": "splicer.net.stream:TcpStream.close",
    "lookup": "splicer.net.resolve:Resolver._learn",
    "lookup.failed": "splicer.net.resolve:Resolver._failed",
    "frame": "splicer.relay.mover:Mover._pass",
    "last words": "splicer.observe.line_writer:LineWriter.close",
    "trio": "trio._core._io_epoll:EpollIOManager.process_events",
}
# What a worker runs before its own code: each of these places raises once, when a file says so, and what.
_CODE = """
import builtins, functools, importlib
def fail(kind):
    raise BaseExceptionGroup("a bug", [SystemExit("a bug")]) if kind == "group" else getattr(builtins, kind)("a bug")
def raises(path, function):
    @functools.wraps(function)
    def touchy(*arguments, **more):
        mine = path + "." + str(os.getpid())
        if os.path.exists(mine):
            with open(mine) as file:
                kind = file.read()
            os.unlink(mine)
            if kind != "in a task of Trio's own":
                fail(kind)
            importlib.import_module("trio").lowlevel.current_trio_token().run_sync_soon(fail, "RuntimeError")
        return function(*arguments, **more)
    return touchy
for name, place in {places!r}.items():
    module, _, path = place.partition(":")
    *owners, attribute = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    setattr(owner, attribute, raises({directory!r} + "/" + name, getattr(owner, attribute)))
"""


# ... and a supervisor before its own.
_SUPERVISOR = """
import os, selectors, sys
if "splicer.supervisor" in sys.orig_argv:
    from splicer.supervisor import process_table
    from splicer.observe import plain_log
    def found(name):
        try:
            os.unlink({directory!r} + "/" + name)
        except FileNotFoundError:
            return
        raise MemoryError("a bug")
    def tick(self, tick=process_table.ProcessTable.tick):
        found("tick")
        tick(self)
    def select(self, timeout, select=selectors.EpollSelector.select):
        found("select")
        return select(self, timeout)
    def speak(self, event, *more, speak=plain_log.PlainLog.__call__, **fields):
        if event == "supervisor_error":
            found("say")
        speak(self, event, *more, **fields)
    process_table.ProcessTable.tick, selectors.EpollSelector.select, plain_log.PlainLog.__call__ = tick, select, speak
"""


@frozen
class Bugs:
    """What a worker is to raise, once, and where."""

    directory: Path

    def put(self, pid: int, place: str, kind: str = "RuntimeError") -> None:
        """A bug of this kind into one of the places above, in one process."""
        new = self.directory / ".new"
        new.write_text(kind)
        new.rename(self.directory / f"{place}.{pid}")

    def are_found(self) -> bool:
        """Whether somebody has come by each."""
        return not list(self.directory.iterdir())


@pytest.fixture(scope="module")
def bugs(tmp_path_factory: pytest.TempPathFactory) -> Bugs:
    return Bugs(tmp_path_factory.mktemp("bugs"))


@pytest.fixture(scope="module")
def edge(bugs: Bugs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    site = Site()
    code = _CODE.format(directory=str(bugs.directory), places=_PLACES)
    environ = {**patched(tmp_path_factory.mktemp("patch"), code), "SPLICER_NATIVE": "0"}  # what is broken is Python
    names = f'[resolver]\nnameservers = ["{site.net}.250:53"]'  # nobody is there
    routes = '[upstreams.named]\naddress = "nobody.test:1"\n[[routes]]\nname="n"\nprefix="/named/"\nupstream="named"'
    with running(several(site, extra=names, routes=routes), site, environ=environ) as edge:
        yield edge


@pytest.fixture
async def place(edge: Edge, nursery: trio.Nursery) -> Place:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    return place


async def worker_died(edge: Edge, pid: int, *, silently: bool = False) -> None:
    """A worker has ended itself, and said why."""
    [line] = await edge.expected(1, "worker_died", pid=pid)
    assert line["reason"] == "exit 1"
    if not silently:
        await edge.expected(1, "worker_crash", pid=pid)
    await until(lambda: set(worker_pids(edge.pid)) == {1, 2} and pid not in worker_pids(edge.pid).values())


async def a_call(edge: Edge, place: Place) -> None:
    async with tunnel_at(edge, 1, f"/ws/{place.name}/another") as wire:
        await echoes(wire)


async def a_request(edge: Edge, _: Place) -> None:
    assert (await ask_at(edge, 1, "/health")).status == 200


async def a_bad_request(edge: Edge, _: Place) -> None:
    assert (await ask_at(edge, 1, "/nowhere")).status == 404


@pytest.mark.parametrize("kind", ["RuntimeError", "MemoryError"])
@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("log.opened", a_call),
        ("log.closed", a_call),
        ("log.ended", a_bad_request),
        ("metrics.opened", a_call),
        ("metrics.over", a_call),
        ("metrics.ended", a_request),
        ("endpoints", a_call),
    ],
)
async def test_what_is_told_of_a_call_or_a_request_does_not_touch_it(
    edge: Edge, place: Place, bugs: Bugs, where: str, what: Callable[[Edge, Place], Awaitable[None]], kind: str
) -> None:
    async with tunnel_at(edge, 1, f"/ws/{place.name}/one") as one:
        before = worker_pids(edge.pid)
        bugs.put(before[1], where, kind)
        await what(edge, place)
        await until(bugs.are_found)
        await echoes(one)
        assert worker_pids(edge.pid) == before


@pytest.mark.parametrize("where", ["log.crashed", "metrics.crashed"])
async def test_nor_does_what_is_told_of_a_crash(edge: Edge, place: Place, bugs: Bugs, where: str) -> None:
    async with tunnel_at(edge, 1, f"/ws/{place.name}/one") as one:
        before = worker_pids(edge.pid)
        bugs.put(before[1], where)
        bugs.put(before[1], "parse")
        with pytest.raises((EndOfStream, trio.BrokenResourceError)):
            await ask_at(edge, 1, "/health")
        await until(bugs.are_found)
        await echoes(one)
        assert worker_pids(edge.pid) == before
        if where == "metrics.crashed":
            await edge.expected(1, "crash")


async def provoke(edge: Edge, target: str) -> None:
    """A request to slot 1 that nobody may answer."""
    with suppress(EndOfStream, trio.BrokenResourceError):
        await ask_at(edge, 1, target)


@pytest.mark.parametrize(
    ("where", "kind", "target"),
    [
        ("close", "RuntimeError", "/health"),
        ("close", "MemoryError", "/health"),
        ("parse", "SystemExit", "/health"),
        ("parse", "KeyboardInterrupt", "/health"),
        ("parse", "GeneratorExit", "/health"),
        ("parse", "group", "/health"),
        ("parse", "in a task of Trio's own", "/health"),
        ("lookup.failed", "MemoryError", "/named/"),
        ("trio", "MemoryError", "/health"),
    ],
)
async def test_what_leaves_a_task_ends_the_worker_and_no_call(
    edge: Edge, place: Place, bugs: Bugs, where: str, kind: str, target: str
) -> None:
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/one") as one,
        tunnel_at(edge, 1, f"/ws/{place.name}/two") as two,
    ):
        before = worker_pids(edge.pid)[1]
        with only(edge, 1):  # the other one must not be it
            await trio.sleep(0.2)  # the log's writer sleeps by then, and Trio, which may be what fails, wakes it
            bugs.put(before, where, kind)
            await provoke(edge, target)
            await until(bugs.are_found)
        for wire in (one, two):
            await echoes(wire)
        await worker_died(edge, before)


async def test_nor_does_what_goes_wrong_while_it_says_why_it_ends(edge: Edge, place: Place, bugs: Bugs) -> None:
    async with tunnel_at(edge, 1, f"/ws/{place.name}/one") as one:
        before = worker_pids(edge.pid)[1]
        with only(edge, 1):
            bugs.put(before, "last words")
            bugs.put(before, "close")
            await provoke(edge, "/health")
            await until(bugs.are_found)
        await echoes(one)
        await edge.expected(1, "worker_died", pid=before, reason="exit 1")
        edge.lines[:] = [line for line in edge.lines if line.get("event") != "worker_crash"]  # it may have been in time


async def test_memory_that_is_short_for_a_frame_ends_no_call(edge: Edge, place: Place, bugs: Bugs) -> None:
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/one") as one,
        tunnel_at(edge, 1, f"/ws/{place.name}/two") as two,
    ):
        before = worker_pids(edge.pid)[slot_of(edge, one)]
        bugs.put(before, "frame", "MemoryError")
        for _ in range(3):
            await echoes(one)
            await echoes(two)
        assert bugs.are_found()
        await worker_died(edge, before)


async def test_nor_does_the_supervisor_end(tmp_path: Path, nursery: trio.Nursery) -> None:
    site, bugs = Site(), Bugs(tmp_path / "bugs")
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)
    bugs.directory.mkdir()
    (tmp_path / "sitecustomize.py").write_text(_SUPERVISOR.format(directory=str(bugs.directory)))
    environ = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    with running(site.toml(), site, environ=environ) as edge:
        async with tunnel(edge, f"/ws/{place.name}/one") as one:
            for name in ("say", "tick", "select"):
                (bugs.directory / name).touch()
            await until(bugs.are_found)
            await kill_worker(edge)
            await echoes(one)
        [line] = await edge.expected(1, "supervisor_error")  # of two: one could not be told of
        assert "MemoryError" in line["error"]
