"""A connection in memory that behaves as TCP does where it matters: bounded, half-closed, reset, peeked at.

Where TCP may be kind or unkind, it is unkind: a reset destroys what the other side had not read yet, and whoever
closes with unread bytes, or is written to after closing, answers with a reset.
"""

from __future__ import annotations

import socket
from typing import cast

import trio
from trio.testing import wait_all_tasks_blocked

from splicer.net.stream import TlsLeg
from splicer.quality import Quality

TIMEOUT = 1000  # virtual seconds after which a test's own side stops waiting and fails


class ConflictDetector:
    """Two tasks that wait for the same socket are a bug, and Trio says so."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(self._what)
        self._busy = True

    def __exit__(self, *_: object) -> None:
        self._busy = False


class _Direction:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.data = bytearray()
        self.eof = False
        self.reset = False
        self.deaf = False  # the receiver has closed
        self._changed = trio.Event()

    def change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self) -> None:
        await self._changed.wait()

    def break_off(self) -> None:
        self.reset = True
        self.data.clear()
        self.change()


class End:
    """One end of a connection: a `ByteStream` that, like the real one, has no checkpoint when it needn't wait."""

    def __init__(self, incoming: _Direction, outgoing: _Direction) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._alone = ConflictDetector("two tasks read")
        self.tls: TlsLeg | None = None
        self.ended: str | None = None  # "close", "ended" or "reset": how this end was ended

    @property
    def sock(self) -> socket.socket:
        return cast("socket.socket", self)  # for a splice that knows

    written = None

    def quality(self) -> Quality | None:
        return None

    def getsockopt(self, *_: object) -> bytes:
        raise OSError("none of the kernel's")

    def receive_now(self, max_bytes: int) -> bytes | None:
        incoming = self._incoming
        if self.ended or incoming.reset:
            raise trio.BrokenResourceError
        data = bytes(incoming.data[:max_bytes])
        del incoming.data[:max_bytes]
        if data:
            incoming.change()
        return data if data or incoming.eof else None

    def send_now(self, data: bytes) -> int:
        outgoing = self._outgoing
        if self.ended or outgoing.eof or outgoing.reset or self._incoming.reset:
            raise trio.BrokenResourceError
        sent = 0 if outgoing.deaf else min(len(data), max(0, outgoing.capacity - len(outgoing.data)))
        if sent:
            outgoing.data += data[:sent]
            outgoing.change()
        return sent

    async def receive_some(self, max_bytes: int, *, later: bool = False) -> bytes:
        incoming = self._incoming
        if self.ended:
            raise trio.BrokenResourceError
        if later:
            await trio.lowlevel.checkpoint()
        while True:
            if incoming.reset:
                raise trio.BrokenResourceError
            if incoming.data:
                data = bytes(incoming.data[:max_bytes])
                del incoming.data[:max_bytes]
                incoming.change()
                return data
            if incoming.eof:
                return b""
            with self._alone:
                await incoming.wait()
            if self.ended:
                raise trio.ClosedResourceError

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not (self._incoming.data or self._incoming.eof or self._incoming.reset):
            with self._alone:
                await self._incoming.wait()
            if self.ended:
                raise trio.ClosedResourceError

    async def send_all(self, data: bytes) -> None:
        outgoing = self._outgoing
        if self.ended or outgoing.eof:
            raise trio.BrokenResourceError
        while data:
            if outgoing.reset or self._incoming.reset:
                raise trio.BrokenResourceError
            if outgoing.deaf:
                self._incoming.break_off()
                return
            room = outgoing.capacity - len(outgoing.data)
            if room > 0:
                outgoing.data += data[:room]
                data = data[room:]
                outgoing.change()
            else:
                await outgoing.wait()
                if self.ended:
                    raise trio.ClosedResourceError

    def send_eof(self) -> None:
        self._outgoing.eof = True
        self._outgoing.change()

    def is_quiet(self) -> bool:
        incoming = self._incoming
        return not (self.ended or incoming.reset or incoming.data or incoming.eof)

    def is_gone(self) -> bool:
        incoming = self._incoming
        return bool(self.ended) or incoming.reset or (incoming.eof and not incoming.data)

    def is_flushed(self) -> bool:
        return not self._outgoing.data or self._outgoing.deaf or self._incoming.reset

    def close(self) -> None:
        if self.ended is None:
            if self._incoming.data:
                self._outgoing.break_off()
            self._end("close")

    def reset(self) -> None:
        if self.ended is None:
            self._outgoing.break_off()
            self._end("reset")

    def close_ended(self) -> None:
        if self.ended is None:
            self._end("ended")

    def abandon(self) -> None:
        self.ended = "abandon"

    def _end(self, how: str) -> None:
        self.ended = how
        self._outgoing.eof = self._incoming.deaf = True
        self._outgoing.change()
        self._incoming.change()

    @property
    def unread(self) -> int:
        """Bytes that have arrived here and were not read."""
        return len(self._incoming.data)


def connection(capacity: int = 1 << 16) -> tuple[End, End]:
    """Both ends of a connection.

    `capacity`: bytes on the way in one direction; then the sender waits.
    """
    one, other = _Direction(capacity), _Direction(capacity)
    return End(one, other), End(other, one)


class StreamEnded(AssertionError):
    """The other side ended the stream where a peer expected more."""


class Peer:
    """The side of a connection that a test plays."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.read = bytearray()  # and not yet asked for
        self.heard = bytearray()  # all that was read so far

    async def send(self, data: bytes) -> None:
        with trio.fail_after(TIMEOUT):
            await self.end.send_all(data)

    async def until(self, mark: bytes) -> bytes:
        """All bytes up to the mark, with it."""
        while (end := self.read.find(mark)) < 0:
            await self._more(f"{mark!r}")
        return self._take(end + len(mark))

    async def exactly(self, count: int) -> bytes:
        while len(self.read) < count:
            await self._more(f"{count} bytes")
        return self._take(count)

    async def rest(self) -> bytes:
        """All bytes up to the end of the stream; `trio.BrokenResourceError` on a reset."""
        with trio.fail_after(TIMEOUT):
            while data := await self.end.receive_some(1 << 16):
                self.read += data
                self.heard += data
        await wait_all_tasks_blocked()
        return self._take(len(self.read))

    async def was_reset(self) -> bool:
        """How the stream ended, once it has."""
        try:
            await self.rest()
        except trio.BrokenResourceError:
            await wait_all_tasks_blocked()
            return True
        return False

    def at_hand(self) -> bytes:
        """What has arrived by now, without waiting."""
        return bytes(self.read + self.end._incoming.data)

    async def _more(self, wanted: str) -> None:
        with trio.fail_after(TIMEOUT):
            data = await self.end.receive_some(1 << 16)
        if not data:
            raise StreamEnded(f"the stream ended, without {wanted}: {bytes(self.read)!r}")
        self.read += data
        self.heard += data

    def _take(self, count: int) -> bytes:
        taken = bytes(self.read[:count])
        del self.read[:count]
        return taken


async def drip(peer: Peer, data: bytes, every: float) -> None:
    """One byte each so many seconds."""
    for index in range(len(data)):
        await peer.send(data[index : index + 1])
        await trio.sleep(every)
