"""Tunnels on real sockets: the outer ends that a test plays, the hub between them, and what a session does around it.

call = await edge.call(limits=..., to_client=b"early")
await call.client.send(b"frame")
assert await call.pod.read(5) == b"frame"
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import math
import os
import resource
import socket
import struct
import termios
import time
from collections.abc import AsyncIterator, Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import Side
from splicer.net.options import set_tcp_options
from splicer.net.stream import TcpStream
from splicer.relay.api import ByteCounts, TunnelEnd, TunnelLimits, TunnelSpec
from splicer.relay.hub import Hub
from splicer.relay.pipes import Pipe
from tests.kit.descriptors import no_more_descriptors

FOREVER = TunnelLimits(idle=math.inf, half_closed=math.inf, lifetime=math.inf)
SMALL = 64 * 1024  # socket buffers that fill up soon
PLENTY = 8 * 1024 * 1024  # more bytes than two connections with SMALL buffers and a pipe hold
_LULL_SECONDS = 0.05  # seconds; a loop of the hub's makes a turn every two milliseconds
_STRAY_TURNS = 5  # late acknowledgements
_MAX_FRAME_DELAY = 20.0  # real seconds after which a test that waits is stuck

Pair = tuple[socket.socket, socket.socket]


def tcp_pair(buffers: int | None = None) -> Pair:
    """Two connected, non-blocking TCP sockets; `buffers` fixes the size of all four socket buffers, in bytes."""
    with socket.socket() as listener:
        outer = socket.socket()
        for sock in (listener, outer):
            if buffers is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            set_tcp_options(sock)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        outer.connect(listener.getsockname())
        inner, _ = listener.accept()
    for sock in (outer, inner):
        sock.setblocking(False)
    return outer, inner


def small_tcp_pair() -> Pair:
    """A connection that holds little."""
    return tcp_pair(SMALL)


def unix_pair() -> Pair:
    """Two connected sockets, where TCP isn't the point."""
    outer, inner = socket.socketpair()
    outer.setblocking(False)
    inner.setblocking(False)
    return outer, inner


def pipe_of(size: int) -> Pipe:
    """A pipe as the kernel makes it for a user who has too many: small; `size` in bytes."""
    pipe = Pipe()
    pipe.size = fcntl.fcntl(pipe.write_fd, fcntl.F_SETPIPE_SZ, size)
    return pipe


def pipe_with(data: bytes) -> int:
    """The read end of a pipe that somebody who is dead now has filled."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    assert os.write(write_fd, data) == len(data)
    os.close(write_fd)
    return read_fd


async def until(true: Callable[[], object]) -> None:
    """Let the others run until it is; on the real clock, whatever Trio's is."""
    give_up = time.monotonic() + _MAX_FRAME_DELAY
    while not true():
        assert time.monotonic() < give_up, "it never came true"
        await trio.lowlevel.checkpoint()


async def settle() -> None:
    """Give the hub, and the kernel's delayed acknowledgements, the time to do what is left to do."""
    ready = time.monotonic() + _LULL_SECONDS
    while time.monotonic() < ready:
        await wait_all_tasks_blocked()


class Shutdown(StrEnum):
    """How a stream of bytes ended."""

    EOF = "eof"
    RESET = "reset"


class Peer:
    """An outer end: what a client or a pod does."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0  # bytes that the kernel took

    async def send(self, data: bytes | memoryview) -> None:
        """Send everything."""
        view = memoryview(data)
        with trio.fail_after(_MAX_FRAME_DELAY):
            while view:
                await trio.lowlevel.wait_writable(self.sock)
                view = view[self.offer(view) :]

    def offer(self, data: bytes | memoryview) -> int:
        """Send what the kernel takes at once; how many bytes that were."""
        try:
            count = self.sock.send(data)
        except BlockingIOError:
            return 0
        self.sent += count
        return count

    async def receive(self, most: int = 1 << 20) -> bytes:
        """One read; b"" at the end of the stream."""
        with trio.fail_after(_MAX_FRAME_DELAY):
            while True:
                await trio.lowlevel.wait_readable(self.sock)
                with contextlib.suppress(BlockingIOError):
                    return self.sock.recv(most)

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes, or fewer if the stream ends."""
        parts = []
        while count and (part := await self.receive(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    async def read_to_end(self) -> tuple[bytes, Shutdown]:
        """Everything, and how it ended."""
        parts = []
        try:
            while part := await self.receive():
                parts.append(part)
        except ConnectionResetError:
            return b"".join(parts), Shutdown.RESET
        return b"".join(parts), Shutdown.EOF

    def is_quiet(self) -> bool:
        """Whether nothing is there to be read."""
        return TcpStream(self.sock).is_quiet()

    async def flushed(self) -> None:
        """Wait until the other kernel end has acknowledged all that was sent, an end of stream too."""
        await until(lambda: not self.unacknowledged())

    def unacknowledged(self) -> int:
        """Bytes, and an end of stream, that the other kernel end has not acknowledged."""
        answer = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.TIOCOUTQ, answer)
        return answer[0]

    def half_close(self) -> None:
        """No more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Leave as close(2) does: with a reset if unread bytes are there."""
        self.sock.close()

    def reset(self) -> None:
        """Leave with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Call:
    """One tunnel: its outer ends, and how it ended."""

    def __init__(self, client: Pair, pod: Pair) -> None:
        self.client, self.pod = Peer(client[0]), Peer(pod[0])
        self.inner = client[1], pod[1]
        self.scope = trio.CancelScope()
        self.counts = ByteCounts()
        self.end: TunnelEnd | None = None
        self.error: Exception | None = None
        self._over = trio.Event()

    async def run(self, hub: Hub, limits: TunnelLimits, to_client: bytes, to_pod: bytes, **more: Any) -> None:
        """Splice, then close both inner sockets as the session does; `more` is for the `TunnelSpec`."""
        more.setdefault("owner", None)
        try:
            with self.scope:
                self.end = await hub.splice(
                    TunnelSpec(*self.inner, limits, counts=self.counts, to_client=to_client, to_pod=to_pod, **more)
                )
        except Exception as error:  # noqa: BLE001  # the test will look at it
            self.error = error
        finally:
            for side, sock in zip((Side.CLIENT, Side.POD), self.inner, strict=True):
                if self.end is not None and self.end.reset and side is not self.end.closer:
                    TcpStream(sock).reset()
                else:
                    TcpStream(sock).close()
            self._over.set()

    @property
    def tally(self) -> list[int]:
        """Bytes to the pod and to the client, when it is over."""
        return [self.counts.to_pod, self.counts.to_client]

    async def over(self) -> TunnelEnd | None:
        """Wait for the end; None: cancelled or refused."""
        with trio.fail_after(_MAX_FRAME_DELAY):
            await self._over.wait()
        return self.end

    def hang_up(self) -> None:
        """Close both outer ends."""
        self.client.close()
        self.pod.close()


class CountingHub(Hub):
    """A hub whose wake-ups can be seen."""

    @property
    def turns(self) -> int:
        return self._mover.batches


class Edge:
    """A running hub and the tunnels that go through it."""

    def __init__(self, hub: CountingHub, nursery: trio.Nursery) -> None:
        self.hub = hub
        self._nursery = nursery
        self._calls: list[Call] = []

    async def call(
        self,
        limits: TunnelLimits = FOREVER,
        *,
        to_client: bytes = b"",
        to_pod: bytes = b"",
        pair: Callable[[], Pair] = tcp_pair,
        **more: Any,
    ) -> Call:
        """A new tunnel, spliced; `more` is for the `TunnelSpec`."""
        return await self.take(Call(pair(), pair()), limits, to_client=to_client, to_pod=to_pod, **more)

    async def take(
        self, call: Call, limits: TunnelLimits = FOREVER, *, to_client: bytes = b"", to_pod: bytes = b"", **more: Any
    ) -> Call:
        """Splice this one."""
        self._calls.append(call)
        self._nursery.start_soon(partial(call.run, self.hub, limits, to_client, to_pod, **more))
        await wait_all_tasks_blocked()
        return call

    async def park(self, writer: Peer, data: bytes) -> None:
        """Write until nothing on the way takes a byte more: nobody reads at the other end, and a pipe is full too."""
        pipes, view = self.hub.pipes.in_use, memoryview(data)
        while (count := writer.offer(view)) or self.hub.pipes.in_use == pipes:
            view = view[count:]
            assert view, "all of it went somewhere"
            await wait_all_tasks_blocked()

    async def stuff(self, writer: Peer, data: bytes) -> None:
        """Write until the sockets on the way take no more, where there may be no pipe."""
        view = memoryview(data)
        while view := view[writer.offer(view) :]:
            await settle()
            if not (count := writer.offer(view)):
                return
            view = view[count:]
        raise AssertionError("all of it went somewhere")

    async def sleeps(self) -> bool:
        """Whether the hub stays asleep while nobody does anything, but for what the kernel still had to do."""
        await wait_all_tasks_blocked()
        before = self.hub.turns
        await settle()
        return self.hub.turns - before < _STRAY_TURNS

    def hang_up(self) -> None:
        """Close every outer end that is still open."""
        for call in self._calls:
            call.hang_up()


@contextlib.contextmanager
def no_more_pipes(hub: Hub, clean: int = 0) -> Iterator[None]:
    """While it lasts no pipe can be made: so many clean ones are there, and the one that is put by."""
    pipes = hub._mover.pipes
    while pipes.count < clean:
        pipes.give(hub._stock._make())
    while pipes.count > clean:
        hub._stock.discard(hub._stock.take(0))
    with no_more_descriptors():
        yield


@contextlib.asynccontextmanager
async def running(hub: CountingHub) -> AsyncIterator[Edge]:
    """An edge for as long as this hub runs; afterwards nothing of it is left."""
    with hub.opened():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            edge = Edge(hub, nursery)
            yield edge
            nursery.cancel_scope.cancel()
        edge.hang_up()
    assert (hub.tunnels, hub.pipes.in_use, hub.pipes.idle) == (0, 0, 0)


def resident_bytes() -> int:
    """How much memory this process takes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
