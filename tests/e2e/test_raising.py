"""What a bug costs, in each place where a worker may raise: as few as can be, and never somebody else's call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from attrs import frozen

from tests.kit.calls import handshake
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker_of, only, patched, several, slot_of, tunnel_at
from tests.kit.pods import raw_pod
from tests.kit.site import Place, Site
from tests.kit.wire import EndOfStream, Wire, ask, dial, request, until
from tests.kit.workers import worker_pids

_BUG = b"BUG!"  # bytes that the relay can't stand
_CODE = f"""
import socket
import splicer.relay.hub as hub
import splicer.relay.mover as mover
import splicer.session.connection as connection
import splicer.worker.acceptor as acceptor

def touchy(moves):
    def move(self, leg, *more):
        try:
            if leg.sock.recv(4, socket.MSG_PEEK) == {_BUG!r}:
                raise RuntimeError("a bug")
        except OSError:
            pass
        moves(self, leg, *more)
    return move

def turn(self, turn=hub.Hub.turn):
    due = turn(self)
    once("%(directory)s/hub")
    return due

def parse_request(raw, parse_request=connection.parse_request, **options):
    if b"/bug" in raw:
        raise RuntimeError("a bug")
    return parse_request(raw, **options)

def accept(self, sock, peer, accept=acceptor.Acceptor._accept):
    once("%(directory)s/accept")
    accept(self, sock, peer)

mover.Mover._fill, mover.Mover._pass = touchy(mover.Mover._fill), touchy(mover.Mover._pass)
hub.Hub.turn, connection.parse_request, acceptor.Acceptor._accept = turn, parse_request, accept
"""


@frozen
class Bugs:
    """Where a worker raises, once, when there is a file."""

    directory: Path

    def in_the_hub(self) -> None:
        (self.directory / "hub").touch()

    def in_accept(self) -> None:
        (self.directory / "accept").touch()


@pytest.fixture(scope="module")
def bugs(tmp_path_factory: pytest.TempPathFactory) -> Bugs:
    return Bugs(tmp_path_factory.mktemp("bugs"))


@pytest.fixture(scope="module")
def edge(bugs: Bugs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    site = Site()
    environ = patched(tmp_path_factory.mktemp("patch"), _CODE % {"directory": bugs.directory})
    environ["SPLICER_NATIVE"] = "0"  # what is broken is Python
    with running(several(site), site, environ=environ) as edge:
        yield edge


async def crashed(edge: Edge) -> dict[str, object]:
    """The only line about a bug that ended one connection."""
    [line] = await edge.expected(1, "crash")
    assert "RuntimeError" in line["error"]
    assert "a bug" in line["traceback"]
    assert not edge.find("crash")
    return line


async def worker_crashed(edge: Edge, before: int) -> None:
    """A worker has ended itself, and said why."""
    [line] = await edge.expected(1, "worker_crash", pid=before)
    assert "a bug" in line["traceback"]
    [line] = await edge.expected(1, "worker_died", pid=before)
    assert (line["reason"], line["state"]) == ("exit 1", "serving")
    await until(lambda: set(worker_pids(edge.pid)) == {1, 2})
    assert before not in worker_pids(edge.pid).values()


@pytest.mark.parametrize("adopted", [False, True])
async def test_while_the_bytes_of_one_tunnel_are_moved(edge: Edge, place: Place, *, adopted: bool) -> None:
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/bad") as bad,
        tunnel_at(edge, 1, f"/ws/{place.name}/one") as one,
        tunnel_at(edge, 2, f"/ws/{place.name}/two") as two,
    ):
        opened = await edge.line("tunnel_open", path=f"/ws/{place.name}/bad")
        if adopted:
            await kill_worker_of(edge, bad)
        for wire in (bad, one, two):
            await echoes(wire)
        before = worker_pids(edge.pid)
        await bad.send(_BUG)
        assert await bad.end() in ("eof", "reset")
        line = await crashed(edge)
        assert line["id"] == opened["id"]
        closed = await edge.line("tunnel_close", id=opened["id"])
        assert (closed["closed_by"], closed["reason"], closed["adopted"]) == ("proxy", "crash", int(adopted))
        for wire in (one, two):
            await echoes(wire)
        assert worker_pids(edge.pid) == before
        for name in ("one", "two"):
            assert not edge.find("tunnel_close", path=f"/ws/{place.name}/{name}")


async def test_in_the_loop_of_the_hub(edge: Edge, place: Place, bugs: Bugs, nursery: trio.Nursery) -> None:
    """Its worker ends, its tunnels go on, and what it was answering is reset."""
    slow, asked = edge.site.take(), trio.Event()

    async def pod(wire: Wire) -> None:
        await wire.request()
        asked.set()
        await wire.end()

    await raw_pod(nursery, slow.address, slow.port, pod)
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/one") as one,
        tunnel_at(edge, 2, f"/ws/{place.name}/two") as two,
        AsyncExitStack() as stack,
    ):
        with only(edge, 1):
            exchange = await stack.enter_async_context(dial(edge.address))
            await exchange.send(request("GET", f"/http/{slow.name}/"))
            await asked.wait()
        slot = slot_of(edge, one)
        before = worker_pids(edge.pid)[slot]
        bugs.in_the_hub()
        with only(edge, slot):  # its other half must not be the one
            await one.send(b"hello")
            await edge.line("worker_crash")
        assert await one.exactly(5) == b"hello"
        await worker_crashed(edge, before)
        with pytest.raises((EndOfStream, trio.BrokenResourceError)):
            await exchange.head()
        await echoes(one)
        await echoes(two)
    for name, adopted in (("one", 1), ("two", 0)):
        assert (await edge.line("tunnel_close", path=f"/ws/{place.name}/{name}"))["adopted"] == adopted


async def test_in_the_session(edge: Edge, place: Place) -> None:
    async with tunnel_at(edge, 1, f"/ws/{place.name}/x") as call, AsyncExitStack() as stack:
        with only(edge, 1):
            kept = await stack.enter_async_context(dial(edge.address))
            await kept.send(request("GET", "/health"))
            assert (await kept.reply()).status == 200
            before = worker_pids(edge.pid)
            async with dial(edge.address) as bad:
                await bad.send(handshake("/bug"))
                assert await bad.end() in ("eof", "reset")
        assert (await crashed(edge))["client"] == "127.0.0.1"
        await kept.send(request("GET", "/health"))
        assert (await kept.reply()).status == 200
        await echoes(call)
        assert worker_pids(edge.pid) == before


async def test_in_the_accept_loop(edge: Edge, place: Place, bugs: Bugs) -> None:
    """Its worker ends with the connection that it has just accepted; those behind it are served by the next one."""
    await until(lambda: set(worker_pids(edge.pid)) == {1, 2})
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/one") as one,
        tunnel_at(edge, 2, f"/ws/{place.name}/two") as two,
    ):
        victim = worker_pids(edge.pid)[1]
        bugs.in_accept()
        answers: list[int] = []

        async def knock() -> None:
            try:
                answers.append((await ask(edge.address, "GET", "/health")).status)
            except (EndOfStream, trio.BrokenResourceError):
                answers.append(0)

        with only(edge, 1):
            async with trio.open_nursery() as knocking:
                for _ in range(20):
                    knocking.start_soon(knock)
                await edge.line("worker_died", pid=victim)
        assert sorted(answers) == [0, *[200] * 19]
        await worker_crashed(edge, victim)
        await echoes(one)
        await echoes(two)
