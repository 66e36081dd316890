"""`splicer upgrade`: the same process goes on with the code and the file now on disk, or with the old if these fail.

The edge of the tests in this folder runs a copy of the package, which they change.
"""

from __future__ import annotations

import json
import signal
from contextlib import AsyncExitStack, suppress
from random import Random

import pytest
import trio

from tests.e2e.upgrade.code import Code
from tests.e2e.upgrade.upgrading import at_rest, events, renamed, talking, upgrade, upgraded
from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import ask_at, echoes, kill_worker, only, several
from tests.kit.http import Message
from tests.kit.pods import raw_pod, switching, tunnel_pod
from tests.kit.site import Place, Site, free_port
from tests.kit.wire import TIMEOUT, EndOfStream, Wire, ask, dial, until
from tests.kit.workers import worker_pids

_VERSIONS = ["supervisor/state.py", "vault/protocol.py", "ipc/wire.py"]


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
            own_code.replace(path, *own_code.ahead(path, 1))
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
