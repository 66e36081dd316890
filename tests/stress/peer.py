"""One side of an open tunnel: the client or the pod."""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Callable

import trio
from attrs import define

from tests.stress.plans import Part, Shutdown
from tests.stress.report import Kind
from tests.stress.streams import LARGEST, End, Flow

_LINGER_0 = struct.pack("ii", 1, 0)
_POLL_INTERVAL = 0.01  # seconds between two checks
_NARROW_SEGMENT = 1448  # bytes; the other side's send buffer grows with it
_NARROW_WINDOW = 32 * 1024  # bytes
_BUFFER = memoryview(bytearray(LARGEST))  # shared by all: received bytes are checked before another task runs


@define(eq=False)
class Peer:
    """One side at work.

    Args:
        sock: non-blocking; closed at the end.
        part: its behaviour.
        out: the stream that it sends.
        into: the stream that it should receive.
        opened: whether the client has its 101; only then may a pod reset the connection, because half a 101 is a fault.
        hurry: whether it should finish.
    """

    sock: socket.socket
    part: Part
    out: Flow
    into: Flow
    opened: trio.Event
    hurry: Callable[[], bool]

    async def run(self) -> None:
        """Run until both directions have ended, or until the planned reset."""
        with self.sock:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send, nursery.cancel_scope)
                nursery.start_soon(self._receive, nursery.cancel_scope)
                if self.part.reset_after < math.inf:
                    nursery.start_soon(self._reset, nursery.cancel_scope)

    async def _send(self, whole: trio.CancelScope) -> None:
        try:
            for wait, size in self.part.steps:
                if self.hurry():
                    break
                await trio.sleep(wait)
                await self._send_all(size)
            if self.part.reset_after == math.inf:
                await self._end(whole)
        except OSError as error:
            self._cut_off(error)

    async def _send_all(self, size: int) -> None:
        rest = self.out.ahead(size)
        while rest:
            try:
                count = self.sock.send(rest)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self.sock)
            else:
                self.out.took(count)
                rest = rest[count:]

    async def _end(self, whole: trio.CancelScope) -> None:
        if self.part.ending is Shutdown.EOF:
            self.sock.shutdown(socket.SHUT_WR)
            self.out.finish(End.EOF)
        elif self.part.ending is Shutdown.CLOSE:
            while self.into.seen is None and not self.into.all_is_said:  # noqa: ASYNC110 - rare and short
                await trio.sleep(_POLL_INTERVAL)
            await self._send_all(1)
            whole.cancel()  # no task waits for a closed socket
            self.sock.close()
            self.out.finish(End.EOF)
            self.into.leave()
        else:
            self.out.rests = True

    async def _receive(self, whole: trio.CancelScope) -> None:
        due = next(self.part.pauses, None)
        got = 0
        while self.into.seen is None:
            if due and got >= due[0] and not self.hurry():
                self.into.pause()
                await trio.sleep(due[1])
                self.into.resume()
                due, got = next(self.part.pauses, None), 0
            await trio.lowlevel.wait_readable(self.sock)
            got += self._some()
        if self.into.seen is End.RESET:
            whole.cancel()

    def _some(self) -> int:
        try:
            count = self.sock.recv_into(_BUFFER)
        except BlockingIOError:
            return 0
        except OSError:
            if not self._has_closed:
                self.into.ends(End.RESET)
            return 0
        if count:
            self.into.take(_BUFFER[:count])
        else:
            self.into.ends(End.EOF)
        return count

    @property
    def _has_closed(self) -> bool:
        """Whether another task has closed the socket: a task that was due to run goes on to its next checkpoint."""
        return self.sock.fileno() < 0

    async def _reset(self, whole: trio.CancelScope) -> None:
        await self.opened.wait()
        await trio.sleep(self.part.reset_after)
        whole.cancel()
        reset(self.sock)
        self.out.finish(End.RESET)
        self.into.leave()

    def _cut_off(self, error: OSError) -> None:
        if self.into.finished is not End.RESET and not self._has_closed:
            self.out.fail(Kind.LOST, f"{self.out.name}: {error.strerror} after {self.out.sent} bytes")


def prepare(sock: socket.socket, *, narrow: bool) -> None:
    """Make a socket ready for use, or a listener whose connections inherit it.

    Args:
        sock: not connected yet if it is to be narrow.
        narrow: give it small buffers.
    """
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if narrow:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _NARROW_SEGMENT)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW_WINDOW)


def reset(sock: socket.socket) -> None:
    """Close with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    sock.close()
