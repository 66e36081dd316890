"""Calls through two containers of one pod, as Kubernetes runs them: the edge's and the vault's.

Unprivileged, each in namespaces of its own; the supervisor is the first process of its container, so its end is that of
all others there.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from tests.e2e.containers import Container, PodOfContainers
from tests.kit.calls import handshake
from tests.kit.fleet import several
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site, free_port
from tests.kit.wire import Wire, dial, until
from tests.kit.workers import kill_and_see, worker_pids

pytestmark = pytest.mark.slow

_FRAME = 160  # bytes
_FRAME_INTERVAL = 0.02  # seconds
_SPEECH = random.Random("containers").randbytes(1 << 20)
_MOUTHFUL = _SPEECH * 64  # more than all buffers on the way hold


class Call:
    """Speaks all the time, and hears the echo: each byte once, in order.

    Args:
        wire: an open tunnel.
        start: where its speech begins.
    """

    def __init__(self, wire: Wire, start: int) -> None:
        self.wire = wire
        self.said = self.heard = self._start = start * _FRAME
        self._over = trio.Event()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear)
            while not self._over.is_set():
                await self.wire.stream.send_all(_speech(self.said, _FRAME))
                self.said += _FRAME
                with trio.move_on_after(_FRAME_INTERVAL):
                    await self._over.wait()
            await self.wire.send_eof()

    async def _hear(self) -> None:
        while data := await self.wire.stream.receive_some(65536):
            assert data == _speech(self.heard, len(data))
            self.heard += len(data)
        assert self.heard == self.said

    def hang_up(self) -> None:
        self._over.set()

    async def goes_on(self) -> None:
        """What is said now is heard."""
        said = self.said
        await until(lambda: self.heard > said)


def _speech(place: int, count: int) -> bytes:
    place %= len(_SPEECH)
    return (_SPEECH[place : place + count] + _SPEECH[: max(0, place + count - len(_SPEECH))])[:count]


@pytest.fixture
def vault(pod: PodOfContainers) -> Iterator[Container]:
    with pod.run_vault() as vault:
        yield vault


@pytest.fixture
def edge(pod: PodOfContainers, vault: Container, site: Site) -> Iterator[Container]:
    with pod.run_edge(several(site, admin=f"127.0.0.1:{free_port()}")) as edge:
        yield edge


@asynccontextmanager
async def calls(edge: Container, place: Place, count: int) -> AsyncIterator[list[Call]]:
    """So many; in the end each has heard all that it said."""
    async with trio.open_nursery() as nursery:
        under_way = []
        for number in range(count):
            wire = await nursery.start(opened, edge, f"/ws/{place.name}/{number}")
            under_way.append(Call(wire, number))
            nursery.start_soon(under_way[-1].run)
        yield under_way
        for call in under_way:
            await call.goes_on()
            call.hang_up()
        await until(lambda: all(call.heard == call.said for call in under_way))
        nursery.cancel_scope.cancel()


async def opened(
    edge: Container,
    target: str,
    window: int | None = None,
    task_status: trio.TaskStatus[Wire] = trio.TASK_STATUS_IGNORED,
) -> None:
    """A tunnel, until cancelled; `window` bytes of receive buffer, in segments that a small one has room for."""
    with trio.socket.socket() as sock:
        if window is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
        await sock.connect(edge.address)
        wire = Wire(trio.SocketStream(sock))
        await wire.send(handshake(target))
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        task_status.started(wire)
        await trio.sleep_forever()


async def restart(container: Container) -> None:
    await trio.to_thread.run_sync(container.kill)
    await trio.to_thread.run_sync(container.start)


async def tunnels_of_workers(edge: Container) -> list[int]:
    """As `splicer status` says, inside."""
    shown = await trio.to_thread.run_sync(edge.execute, "status")
    assert (shown.returncode, shown.stderr) == (0, "")
    table = shown.stdout.partition("worker  pid")[2].splitlines()[1:]
    return [int(line.split()[2]) for line in table if line.strip()]


async def test_the_edge_is_killed(edge: Container, vault: Container, place: Place) -> None:
    """Its listening socket stays, and the workers of the next life get all calls."""
    address = edge.address
    async with calls(edge, place, 20):
        assert sum(await tunnels_of_workers(edge)) == 20
        await trio.to_thread.run_sync(edge.kill)
        async with dial(address) as waiting:
            await trio.to_thread.run_sync(edge.start)
            assert edge.address == address
            await waiting.send(handshake(f"/ws/{place.name}/late"))
            assert (await waiting.head()).startswith(b"HTTP/1.1 101 ")
        await until(lambda: edge.find("tunnel_close"))
        # Which worker gets how many depends on how fast each starts (tests/vault/test_placement.py).
        assert sum(await tunnels_of_workers(edge)) == 20
    assert not edge.noise


async def test_a_handover_from_inside(edge: Container, vault: Container, place: Place) -> None:
    """The end of the first process is that of whoever asked for it, too: SIGKILL, exit code 137 for kubectl."""
    async with calls(edge, place, 5) as under_way:
        asked = await trio.to_thread.run_sync(edge.execute, "handover")
        assert asked.returncode in (0, -signal.SIGKILL), asked.stderr
        assert await trio.to_thread.run_sync(edge.wait) == 0
        await trio.to_thread.run_sync(edge.start)
        for call in under_way:
            await call.goes_on()
        edge.mark()
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        await restart(edge)  # the kubelet may lose patience in the middle of a drain


async def test_the_vault_is_killed_and_the_edge_afterwards(edge: Container, vault: Container, place: Place) -> None:
    async with calls(edge, place, 5):
        await trio.to_thread.run_sync(vault.kill)
        await edge.line("vault_lost", role="supervisor")
        await trio.to_thread.run_sync(vault.start)
        await until(lambda: sum(line["tunnels"] for line in edge.find("vault_connected") if "tunnels" in line) == 5)
        await edge.line("vault_connected", role="supervisor")
        await restart(edge)


async def begin_and_terminate(edge: Container) -> None:
    """Another life, with a SIGTERM before its supervisor has heard what is in the file."""
    await trio.to_thread.run_sync(edge.kill)
    edge.mark()
    await trio.to_thread.run_sync(lambda: edge.start(patient=False))
    edge.signal(signal.SIGTERM)


@pytest.mark.slow
async def test_sigterm_at_the_start_drains_the_calls_in_the_vault(
    edge: Container, vault: Container, place: Place
) -> None:
    async with calls(edge, place, 5) as under_way:
        await begin_and_terminate(edge)
        assert (await edge.line("drain"))["tunnels"] == 5
        for call in under_way:
            await call.goes_on()
    assert await trio.to_thread.run_sync(edge.wait) == 0


@pytest.mark.slow
async def test_sigterm_at_the_start_without_a_call_ends_it(edge: Container, vault: Container) -> None:
    await begin_and_terminate(edge)
    assert (await edge.line("drain"))["tunnels"] == 0
    assert await trio.to_thread.run_sync(edge.wait) == 0


@pytest.mark.slow
async def test_calls_that_are_drained_in_a_container(edge: Container, vault: Container, place: Place) -> None:
    async with calls(edge, place, 5):
        edge.signal(signal.SIGTERM)
        assert (await edge.line("drain"))["tunnels"] == 5
    assert await trio.to_thread.run_sync(edge.wait) == 0
    assert not [line for line in (*edge.lines, *vault.lines) if line["level"] == "error"]


@pytest.mark.slow
@pytest.mark.parametrize("shm", ["64k", "1m"])
async def test_a_shared_memory_without_room_for_counts(
    pod: PodOfContainers, vault: Container, site: Site, place: Place, shm: str
) -> None:
    with pod.run_edge(several(site), shm=shm) as edge:
        async with calls(edge, place, 5):
            await kill_and_see(worker_pids(edge.first)[1])
            await edge.line("worker_died")
        assert "has no room" in edge.stderr


@pytest.mark.slow
async def test_more_pipes_than_a_user_may_have(
    edge: Container, vault: Container, site: Site, place: Place, nursery: trio.Nursery
) -> None:
    """Past 64 MiB of pipes (pipe-user-pages-soft, pipe(7)) new ones hold two pages. No byte is lost by it."""
    stalled, talkative = 1500, site.take()

    async def pour(wire: Wire) -> None:
        await trio.sleep(0.05)  # what came with the 101 would have to fit into a pipe of two pages
        await wire.stream.send_all(_MOUTHFUL)
        await wire.send_eof()

    await tunnel_pod(nursery, talkative.address, talkative.port, pour)
    async with calls(edge, place, 50), trio.open_nursery() as inner:
        wires = [await inner.start(opened, edge, f"/ws/{talkative.name}/{number}", 16384) for number in range(stalled)]
        await until(lambda: sum(size == 8192 for size in pipes_of(edge)) > 100)
        await restart(edge)
        for wire in wires[::100]:
            got = len(wire.buffer)
            assert wire.buffer == _speech(0, got)
            while data := await wire.stream.receive_some(1 << 20):
                assert data == _speech(got, len(data))
                got += len(data)
            assert got == len(_MOUTHFUL)
        inner.cancel_scope.cancel()


def pipes_of(edge: Container) -> list[int]:
    """The sizes of the pipes of its workers."""
    sizes = []
    for pid in worker_pids(edge.first).values():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if str(link.readlink()).startswith("pipe:"):
                    fd = os.open(link, os.O_RDONLY | os.O_NONBLOCK)
                    sizes.append(fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ))
                    os.close(fd)
    return sizes
