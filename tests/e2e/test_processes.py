"""Several processes are one edge: who they are, what each one's death costs, and how they end together."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from splicer.configfile.cpus import usable_cpus
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import echoes, kill_worker, only, patched, several, tunnel_at
from tests.kit.pods import tunnel_pod
from tests.kit.site import Site, free_port
from tests.kit.wire import EndOfStream, ask, dial, until
from tests.kit.workers import kill_and_see, worker_pids

_OF_THE_SUPERVISOR = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGQUIT,
)
_NEW = '[[routes]]\nname = "new"\npath = "/new"\nrespond = { status = 200 }\n'


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(several(site, admin=f"127.0.0.1:{free_port()}"), site) as edge:
        yield edge


@pytest.fixture
def own_edge() -> Iterator[Edge]:
    """For those who end it."""
    site = Site(pods=2)
    with running(several(site), site) as edge:
        yield edge


def titles(edge: Edge) -> Counter[str]:
    return Counter(title.partition(" control=")[0] for _, title in session_of(edge.pid))


def all_of(edge: Edge, workers: int) -> Counter[str]:
    """The titles of an edge with an admin process."""
    names = [
        f"supervisor {edge.path}",
        "template",
        "spare",
        "admin",
        *(f"worker {slot}" for slot in range(1, workers + 1)),
    ]
    return Counter(f"splicer: {name}" for name in names)


async def the_only(edge: Edge, title: str) -> int:
    """The pid of the one process with this title; waits for it."""
    [pid] = await until(lambda: [pid for pid, its in session_of(edge.pid) if its == f"splicer: {title}"])
    return pid


def admin_of(edge: Edge) -> tuple[str, int]:
    host, _, port = edge.path.read_text().partition('admin = "')[2].partition('"')[0].partition(":")
    return host, int(port)


async def test_titles(edge: Edge) -> None:
    await until(lambda: titles(edge) == all_of(edge, 2))


@pytest.mark.slow
@pytest.mark.parametrize("few", [True, False])
async def test_as_many_workers_as_cpus(*, few: bool) -> None:
    allowed = os.sched_getaffinity(0)
    site = Site(pods=1)
    try:
        os.sched_setaffinity(0, {min(allowed)} if few else allowed)
        cpus = usable_cpus()
        with running(several(site, '"auto"'), site) as edge:
            assert edge.find("ready")[0]["workers"] == cpus
            await until(lambda: len(edge.workers) == cpus)
    finally:
        os.sched_setaffinity(0, allowed)
    assert cpus == 1 or not few


async def test_a_spare_that_dies(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    await until(lambda: titles(edge) == all_of(edge, 2))
    workers = worker_pids(edge.pid)
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        spare = await the_only(edge, "spare")
        await kill_and_see(spare)
        [line] = await edge.expected(1, "worker_died", pid=spare)
        assert (line["slot"], line["reason"], line["tunnels"]) == (None, "SIGKILL", 0)
        assert await the_only(edge, "spare") != spare
        await echoes(call)
    await edge.line("tunnel_close")
    assert worker_pids(edge.pid) == workers


async def test_an_admin_process_that_dies(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        before = await the_only(edge, "admin")
        await kill_and_see(before)
        assert (await edge.line("admin_died"))["pid"] == before
        status = json.loads((await ask(admin_of(edge), "GET", "/status", host="127.0.0.1")).body)
        assert [worker["slot"] for worker in status["workers"]] == [1, 2]
        assert await the_only(edge, "admin") != before
        await echoes(call)
    await edge.line("tunnel_close")


async def test_a_worker_that_dies(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    before = worker_pids(edge.pid)
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/one") as one,
        tunnel_at(edge, 2, f"/ws/{place.name}/two") as two,
    ):
        await echoes(one)
        line = await kill_worker(edge, 1)
        assert (line["reason"], line["state"]) == ("SIGKILL", "serving")
        orphaned = await edge.line("tunnels_orphaned")
        assert (orphaned["slot"], orphaned["tunnels"]) == (1, 1)
        await echoes(one)
        await echoes(two)
    after = worker_pids(edge.pid)
    assert after[1] != before[1]
    assert after[2] == before[2]
    await until(lambda: titles(edge) == all_of(edge, 2))


@pytest.mark.slow
async def test_a_worker_that_is_stuck(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel_at(edge, 1, f"/ws/{place.name}/x") as call:
        await echoes(call)
        stuck = worker_pids(edge.pid)[1]
        os.kill(stuck, signal.SIGSTOP)
        await call.send(b"later")
        await trio.sleep(8)
        assert worker_pids(edge.pid)[1] == stuck, "a pause is no reason to kill it"
        [line] = await edge.expected(1, "worker_died")
        assert (line["pid"], line["reason"]) == (stuck, "stuck")
        assert await call.exactly(5) == b"later"
        await echoes(call)
    assert worker_pids(edge.pid)[1] != stuck


async def test_a_broken_file_and_a_dead_worker(edge: Edge, nursery: trio.Nursery) -> None:
    """Together they take nothing down: the new worker works by the text that was accepted."""
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    good = edge.path.read_text()
    try:
        edge.write("broken = ")
        async with tunnel_at(edge, 1, f"/ws/{place.name}/x") as call:
            for _ in range(2):  # the second one was started with the broken file there
                await kill_worker(edge, 1)
                await echoes(call)
        with only(edge, 1):
            assert (await ask(edge.address, "GET", "/health")).body == b"healthy\n"
    finally:
        edge.write(good)


_SLOW_PREPARATION = """
import time
from pathlib import Path
import splicer.worker.worker
def prepare(*arguments, prepare=splicer.worker.worker.prepare_to_serve):
    if Path("{slow}").exists():
        Path("{begun}", str(os.getpid())).touch()
        while Path("{slow}").exists():
            time.sleep(0.01)
    return prepare(*arguments)
splicer.worker.worker.prepare_to_serve = prepare
splicer.worker.worker.inherited = lambda *_: None
"""


@pytest.mark.slow
async def test_a_reload_while_a_spare_is_being_prepared(tmp_path: Path) -> None:
    """It got the old text, and must not serve by it."""
    site, slow, begun, patch = Site(pods=1), tmp_path / "slow", tmp_path / "begun", tmp_path / "patch"
    begun.mkdir()
    patch.mkdir()
    environ = patched(patch, _SLOW_PREPARATION.format(slow=slow, begun=begun))
    with running(several(site, 1), site, environ=environ) as edge:
        slow.touch()
        before = await the_only(edge, "spare")
        await kill_and_see(before)
        await edge.expected(1, "worker_died", pid=before)
        spare = await the_only(edge, "spare")
        await until((begun / str(spare)).exists)
        edge.write(several(site, 1, routes=_NEW))
        edge.signal(signal.SIGHUP)
        await until((begun / str(edge.worker)).exists)  # which prepares for the new one
        slow.unlink()
        await edge.line("reload")
        assert (await ask(edge.address, "GET", "/new")).status == 200
        await kill_worker(edge, 1)
        assert edge.worker == spare
        assert (await ask(edge.address, "GET", "/new")).status == 200


async def test_workers_leave_signals_to_the_supervisor(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    spare, admin, workers = await the_only(edge, "spare"), await the_only(edge, "admin"), worker_pids(edge.pid)
    async with tunnel_at(edge, 1, f"/ws/{place.name}/x") as call:
        for signum in _OF_THE_SUPERVISOR:
            for pid in (*workers.values(), spare, admin):
                os.kill(pid, signum)
            await echoes(call)
        for slot in (1, 2):
            with only(edge, slot):
                assert (await ask(edge.address, "GET", "/ready")).status == 200
    assert (await the_only(edge, "spare"), await the_only(edge, "admin"), worker_pids(edge.pid)) == (
        spare,
        admin,
        workers,
    )


async def test_ctrl_c_reaches_all_of_them(own_edge: Edge, nursery: trio.Nursery) -> None:
    place = own_edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(own_edge, f"/ws/{place.name}/x") as call:
        os.killpg(own_edge.pid, signal.SIGINT)
        assert await call.end() in ("eof", "reset")
        assert await own_edge.exit_code() == 0
    assert own_edge.find("stopped")


async def test_a_supervisor_that_dies(nursery: trio.Nursery) -> None:
    """Tunnels go on; nobody listens any more, so that another edge can begin; each worker leaves with its last one."""
    site = Site(pods=2)
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)
    text = several(site).replace('listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{free_port()}"')
    with running(text, site) as edge:
        async with (
            tunnel_at(edge, 1, f"/ws/{place.name}/one") as one,
            tunnel_at(edge, 2, f"/ws/{place.name}/two") as two,
        ):
            workers = worker_pids(edge.pid)
            edge.killed = True
            await kill_and_see(edge.pid)
            lost = [line["tunnels"] for line in await edge.expected(2, "supervisor_lost", tunnels=1)]
            assert lost == [1, 1]
            await until(lambda: len(session_of(edge.pid)) == 2)  # the spare and the admin process have gone
            await echoes(one)
            with running(text, site) as other:
                assert other.address == edge.address
                async with tunnel(other, f"/ws/{place.name}/new") as new:
                    await echoes(new)
                await echoes(one)
                await echoes(two)
                await one.close()
                await until(lambda: {pid for pid, _ in session_of(edge.pid)} == {workers[2]})
                await echoes(two)
        await until(lambda: not session_of(edge.pid))
        assert [line["reason"] for line in await edge.wait_lines(2, "tunnel_close")] == ["eof", "eof"]


async def test_a_drain_is_one_of_all_workers(own_edge: Edge, nursery: trio.Nursery) -> None:
    edge = own_edge
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/one") as one,
        tunnel_at(edge, 2, f"/ws/{place.name}/two") as two,
    ):
        edge.signal(signal.SIGTERM)
        assert (await edge.line("drain"))["tunnels"] == 2
        await kill_worker(edge, 1)
        for slot in (1, 2):  # one of which was born during the drain
            with only(edge, slot):
                assert (await ask(edge.address, "GET", "/ready")).status == 503
        await echoes(one)
        await two.close()
        await edge.line("tunnel_close", path=f"/ws/{place.name}/two")
        await trio.sleep(0.5)
        await kill_worker(edge, 1)
        await echoes(one)
        assert edge.process.poll() is None
    assert await edge.exit_code() == 0
    assert edge.find("stopped")


async def test_connections_that_a_dead_worker_had_accepted_are_reset(edge: Edge) -> None:
    """A request that has no answer yet is lost, and its client hears of it at once."""
    await until(lambda: set(worker_pids(edge.pid)) == {1, 2})
    async with AsyncExitStack() as stack:
        with only(edge, 1):
            wire = await stack.enter_async_context(dial(edge.address))
            await wire.send(b"GET / HTTP/1.1\r\n")
            async with dial(edge.address) as other:  # which is accepted behind it
                await other.send(b"GET /health HTTP/1.1\r\nHost: edge.test\r\n\r\n")
                await other.reply()
        await kill_worker(edge, 1)
        with pytest.raises((EndOfStream, trio.BrokenResourceError)):
            await wire.head()
