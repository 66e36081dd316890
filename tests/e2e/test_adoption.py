"""What a tunnel takes along from worker to worker."""

from __future__ import annotations

import fcntl
import termios
import time
from array import array
from collections.abc import Iterator
from random import Random

import pytest
import trio

from tests.e2e.adoptions import status_until, text
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker, kill_worker_of, slot_of, the_gap, tunnel_at
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import Wire, until
from tests.kit.workers import kill_and_see, worker_pids

_TOLD = ("id", "client", "route", "method", "host", "path", "pod", "endpoint", "upstream", "attempts", "protocol")
_TIMES = ("resolve_ms", "connect_ms", "handshake_ms")


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(text(site), site) as edge:
        yield edge


class Calls:
    """A pod's ends of tunnels, in the order in which they came."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.wires: list[Wire] = []
        self.over = trio.Event()

    async def take(self, wire: Wire) -> None:
        self.wires.append(wire)
        await self.over.wait()  # it is the test that ends it

    async def wire(self, number: int = 0) -> Wire:
        await until(lambda: len(self.wires) > number)
        return self.wires[number]


@pytest.fixture
async def calls(edge: Edge, nursery: trio.Nursery) -> Calls:
    """A pod that does nothing by itself."""
    calls = Calls(edge.site.take())
    await tunnel_pod(nursery, calls.place.address, calls.place.port, calls.take)
    return calls


# ---- what the log tells ----


async def test_the_last_line_is_of_the_whole_life(edge: Edge, calls: Calls) -> None:
    name, begun = calls.place.name, time.monotonic()
    fields = "X-Forwarded-For: 192.0.2.7"
    async with tunnel_at(edge, 1, f"/ws/{name}/x", fields, source="127.0.0.9") as client:
        opened = await edge.line("tunnel_open", path=f"/ws/{name}/x")
        pod = await calls.wire()
        for kills in range(4):
            for size in (1, 70_000, 1_000):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.send, bytes(size))
                    nursery.start_soon(pod.send, bytes(2 * size))
                    await pod.exactly(size)
                    await client.exactly(2 * size)
            if kills < 3:
                await kill_worker_of(edge, client)
        await pod.close()
        assert await client.rest() == b""
    closed = await edge.line("tunnel_close", id=opened["id"])
    lived = (time.monotonic() - begun) * 1000
    assert closed["adopted"] == 3
    assert (closed["bytes_to_pod"], closed["bytes_to_client"]) == (4 * 71_001, 8 * 71_001)
    assert {key: closed[key] for key in (*_TOLD, *_TIMES)} == {key: opened[key] for key in (*_TOLD, *_TIMES)}
    assert (closed["client"], closed["pod"]) == ("192.0.2.7", name)
    assert (closed["closed_by"], closed["reason"]) == ("pod", "eof")
    assert lived / 2 < closed["duration_ms"] <= lived


async def test_attempts_are_told_of_the_whole_life(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()  # where nobody listens, but for its twin
    await tunnel_pod(nursery, place.twin, place.port)
    async with tunnel_at(edge, 1, f"/ws/{place.name}/x") as client:
        opened = await edge.line("tunnel_open", path=f"/ws/{place.name}/x")
        await kill_worker_of(edge, client)
        await echoes(client)
    closed = await edge.line("tunnel_close", id=opened["id"])
    assert closed["attempts"][0]["failure"] == "connect_refused"
    assert len(closed["attempts"]) > 1
    assert closed["attempts"] == opened["attempts"]
    assert closed["endpoint"] == place.twin_endpoint


async def test_what_waits_in_a_pipe_is_counted_once(edge: Edge, calls: Calls) -> None:
    """The client reads nothing while three workers come and go."""
    async with tunnel_at(edge, 1, f"/ws/{calls.place.name}/x") as client:
        pod = await calls.wire()
        size = 64 << 20  # more than all buffers of the kernel together
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pod.send, bytes(size))
            for _ in range(3):
                await until(lambda: slot_of(edge, client))

                await trio.sleep(0.1)
                await kill_worker_of(edge, client)
            assert await client.exactly(size) == bytes(size)
        await pod.close()
    closed = await edge.line("tunnel_close", path=f"/ws/{calls.place.name}/x")
    assert (closed["bytes_to_pod"], closed["bytes_to_client"]) == (0, size)
    orphaned = edge.find("tunnels_orphaned")
    assert max(line["pipes"] for line in orphaned) == 1


# ---- deadlines ----
# An adoption doesn't begin them anew: then they would strike that long after it at the earliest.

_LONG = [pytest.param(4, id="4s"), pytest.param(12, id="12s", marks=pytest.mark.slow)]


async def strikes(edge: Edge, wire: Wire, word: str, seconds: float, before: float) -> None:
    line = await edge.line("tunnel_close", reason=word)
    assert trio.current_time() < before, f"{word} has begun anew"
    assert (line["closed_by"], line["adopted"]) == ("proxy", 1)
    assert line["duration_ms"] >= seconds * 1000 - 100, f"{word} came too early"
    assert await wire.end() == "eof"


@pytest.mark.parametrize("seconds", _LONG)
async def test_the_idle_and_the_lifetime_deadline_go_on(edge: Edge, place: Place, calls: Calls, seconds: int) -> None:
    name = calls.place.name
    await edge.reload(text(edge.site, deadline=f"{seconds}s"))
    async with (
        tunnel_at(edge, 1, f"/idle/{place.name}/busy") as busy,
        tunnel_at(edge, 1, f"/idle/{name}/x") as idle,
        tunnel_at(edge, 1, f"/life/{name}/x") as life,
        trio.open_nursery() as nursery,
    ):

        async def talk() -> None:
            while True:
                await echoes(busy)
                await trio.sleep(0.1)

        nursery.start_soon(talk)
        await trio.sleep(seconds * 0.75)
        killed = trio.current_time()
        await kill_worker(edge, 1)
        await strikes(edge, idle, "idle", seconds, killed + seconds)
        await strikes(edge, life, "lifetime", seconds, killed + seconds)
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_one_that_is_older_than_it_may_be_silent(edge: Edge, place: Place) -> None:
    await edge.reload(text(edge.site, deadline="3s"))
    async with tunnel_at(edge, 1, f"/idle/{place.name}/x") as call:
        for _ in range(20):
            await echoes(call)
            await trio.sleep(0.2)
        await kill_worker_of(edge, call)
        await echoes(call)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", _LONG)
async def test_the_half_closed_deadline_goes_on(edge: Edge, calls: Calls, seconds: int) -> None:
    await edge.reload(text(edge.site, deadline=f"{seconds}s"))
    async with tunnel_at(edge, 1, f"/half/{calls.place.name}/x") as half:
        await half.send_eof()
        assert await (await calls.wire()).rest() == b""
        await trio.sleep(seconds * 0.75)
        killed = trio.current_time()
        await kill_worker(edge, 1)
        await strikes(edge, half, "half_closed", seconds, killed + seconds)


# ---- ends ----


@pytest.mark.parametrize("first", ["client", "pod"])
async def test_half_closed(edge: Edge, calls: Calls, first: str) -> None:
    async with tunnel_at(edge, 1, f"/ws/{calls.place.name}/x") as client:
        one, other = (client, await calls.wire()) if first == "client" else (await calls.wire(), client)
        await one.send(b"first")
        await one.send_eof()
        assert await other.rest() == b"first"
        for _ in range(2):
            await other.send(b"before")
            await kill_worker_of(edge, client)
            assert await one.exactly(6) == b"before"
            await other.send(b"after")
            assert await one.exactly(5) == b"after"
        await other.send_eof()
        assert await one.rest() == b""
        line = await edge.line("tunnel_close", path=f"/ws/{calls.place.name}/x")
        assert (line["closed_by"], line["reason"], line["adopted"]) == (first, "eof", 2)
        counts = (5, 22) if first == "client" else (22, 5)
        assert (line["bytes_to_pod"], line["bytes_to_client"]) == counts


@pytest.mark.parametrize("first", ["client", "pod"])
@pytest.mark.parametrize("last", [b"", b"last"])
async def test_an_orderly_close_in_the_gap(edge: Edge, calls: Calls, first: str, last: bytes) -> None:
    async with tunnel_at(edge, 1, f"/ws/{calls.place.name}/x") as client:
        one, other = (client, await calls.wire()) if first == "client" else (await calls.wire(), client)
        async with the_gap(edge, client):
            if last:
                await one.send(last)
            await one.close()
        assert await other.rest() == last
        await other.close()
        line = await edge.line("tunnel_close", path=f"/ws/{calls.place.name}/x")
        assert (line["closed_by"], line["reason"]) == (first, "eof")
        assert (line["bytes_to_pod"], line["bytes_to_client"]) == (
            (len(last), 0) if first == "client" else (0, len(last))
        )


async def test_both_close_in_the_gap(edge: Edge, calls: Calls) -> None:
    """What each has said to the other still arrives."""
    async with tunnel_at(edge, 1, f"/ws/{calls.place.name}/x") as client:
        pod = await calls.wire()
        async with the_gap(edge, client):
            for wire in (client, pod):
                await wire.send(b"last")
                await wire.send_eof()
        for wire in (client, pod):
            assert await wire.rest() == b"last"
        assert (await edge.line("tunnel_close", path=f"/ws/{calls.place.name}/x"))["reason"] == "eof"


@pytest.mark.parametrize("first", ["client", "pod"])
@pytest.mark.parametrize("half", [False, True])
async def test_a_reset_in_the_gap(edge: Edge, calls: Calls, first: str, *, half: bool) -> None:
    """With `half`, the other one had closed its half before."""
    async with tunnel_at(edge, 1, f"/ws/{calls.place.name}/x") as client:
        one, other = (client, await calls.wire()) if first == "client" else (await calls.wire(), client)
        if half:
            await other.send_eof()
            assert await one.rest() == b""
        async with the_gap(edge, client):
            one.reset()
        assert await other.end() == "reset"
        line = await edge.line("tunnel_close", path=f"/ws/{calls.place.name}/x")
        assert (line["reason"], line["adopted"]) == ("reset", 1)
        assert line["closed_by"] == first


@pytest.mark.parametrize("kills", [0, 2])
async def test_what_came_before_a_reset_arrives_and_is_counted(edge: Edge, calls: Calls, kills: int) -> None:
    """Its sender has been told that it arrived; the reader takes its time, and its workers die meanwhile."""
    data = Random(1).randbytes(120_000)
    async with tunnel(edge, f"/ws/{calls.place.name}/x", window=4096) as client:
        pod = await calls.wire()
        await pod.send(data)
        await until(lambda: not unacknowledged(pod))
        pod.reset()
        for _ in range(kills):
            await trio.sleep(0.2)  # it has been told of the reset by then, as a rule
            await kill_worker_of(edge, client)
        assert await read_slowly_until_reset(client) == data
    line = await edge.line("tunnel_close", path=f"/ws/{calls.place.name}/x")
    assert (line["closed_by"], line["reason"], line["adopted"]) == ("pod", "reset", kills)
    assert line["bytes_to_client"] == len(data)


async def read_slowly_until_reset(wire: Wire) -> bytes:
    while True:
        try:
            wire.buffer += await wire.stream.receive_some(8192)
        except trio.BrokenResourceError:
            return bytes(wire.buffer)
        await trio.sleep(0.001)


def unacknowledged(wire: Wire) -> int:
    """Bytes that the other end's kernel has not acknowledged (SIOCOUTQ, tcp(7))."""
    answer = array("i", [0])
    fcntl.ioctl(wire.stream.socket.fileno(), termios.TIOCOUTQ, answer)
    return answer[0]


async def gone(edge: Edge, victim: int) -> None:
    """Another has its slot."""
    await until(lambda: victim not in worker_pids(edge.pid).values() and 1 in worker_pids(edge.pid))


@pytest.mark.slow
async def test_a_close_just_before_the_death(edge: Edge, calls: Calls) -> None:
    """Its worker may have seen it or not: the call ends in order once, and is told of once at most."""
    for number in range(8):
        async with tunnel_at(edge, 1, f"/ws/{calls.place.name}/{number}") as client:
            pod = await calls.wire(number)
            await client.send(b"last")
            await client.close()
            victim = worker_pids(edge.pid)[1]
            await trio.sleep(number / 2000)
            await kill_and_see(victim)
            assert await pod.rest() == b"last"
            await pod.close()
        await edge.expected(1, "worker_died", pid=victim)
        await gone(edge, victim)
        assert len(edge.find("tunnel_close", path=f"/ws/{calls.place.name}/{number}")) <= 1
    await status_until(edge, 2, 1)
