"""One end of a light call: a socket in an epoll loop, and what it sends and receives."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from attrs import define, field

from tests.stress.peer import prepare
from tests.stress.streams import LARGEST, End, Flow

_BUFFER = memoryview(bytearray(LARGEST))  # for all: a receipt is looked at before anybody else runs


@define(eq=False)
class Side:
    """A client, or a pod. Its head comes and goes first, and then its streams, once `begin` has said which.

    Args:
        sock: connected, or on its way.
        poll: where its events are waited for.
        heard: is told of the other side's head, when it is whole, and may call `begin`.
        ended: is told of the end of what it receives.
        out: what it sends.
        into: what it receives.
    """

    sock: socket.socket
    poll: select.epoll
    heard: Callable[[Side, bytes], None]
    ended: Callable[[Side], None]
    out: Flow | None = field(default=None, init=False)
    into: Flow | None = field(default=None, init=False)
    _echoes: bool = False
    _unsent: bytes = b""
    _owed: int = 0
    _last: bool = False
    _came: bytes = b""
    _paused: bool = False
    _mask: int = select.EPOLLIN

    def __attrs_post_init__(self) -> None:
        prepare(self.sock, narrow=False)
        self.poll.register(self.sock, self._mask)

    @property
    def is_open(self) -> bool:
        """Whether it still has its socket."""
        return self.sock.fileno() >= 0

    def say(self, head: bytes) -> None:
        """Send a head."""
        self._unsent = head
        self._send()

    def begin(self, out: Flow, into: Flow, *, echoes: bool = False) -> None:
        """All further bytes are those of a call.

        Args:
            out: what it sends.
            into: what it receives.
            echoes: it sends as many bytes as it receives.
        """
        self.out, self.into, self._echoes = out, into, echoes

    def owe(self, size: int, *, last: bool = False) -> None:
        """Send so many bytes of its stream more, as soon as they can be; `last`: and then no more."""
        self._owed += size
        self._last = self._last or last
        self._send()

    def pause(self) -> None:
        """Read nothing more."""
        if self.into is not None and self.into.seen is None:
            self._paused = True
            self.into.pause()
            self._watch()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self.into is not None:
            self._paused = False
            self.into.resume()
            self._watch()

    def close(self) -> None:
        """Close its socket."""
        if self.is_open:
            self.poll.unregister(self.sock)
            self.sock.close()

    def handle(self, events: int) -> None:
        """Do what can be done; it may have been closed since the events were heard of."""
        if events & ~select.EPOLLOUT and self.is_open:
            self._receive()
        if events & select.EPOLLOUT and self.is_open:
            self._send()

    def _receive(self) -> None:
        try:
            count = self.sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self._end(End.RESET)
            return
        if not count:
            self._end(End.EOF)
        elif self.into is not None:
            self._take(self.into, _BUFFER[:count])
        else:
            self._read_head(bytes(_BUFFER[:count]))

    def _read_head(self, data: bytes) -> None:
        self._came += data
        end = self._came.find(b"\r\n\r\n") + 4
        if end >= 4:
            self.heard(self, self._came[:end])
            if self.into is not None and len(self._came) > end:
                self._take(self.into, memoryview(self._came[end:]))

    def _take(self, into: Flow, data: memoryview) -> None:
        into.take(data)
        if self._echoes:
            self.owe(len(data))

    def _end(self, end: End) -> None:
        if self.into is not None:
            self.into.ends(end)
        self.ended(self)
        self._watch()

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
            if self.out is not None and self.out.finished is None:
                self._send_stream(self.out)
        except BlockingIOError:
            pass
        except OSError:
            self._unsent, self._owed = b"", 0  # what it receives is about to tell why
        self._watch()

    def _send_stream(self, out: Flow) -> None:
        while self._owed:
            count = self.sock.send(out.ahead(min(self._owed, LARGEST)))
            out.took(count)
            self._owed -= count
        if self._last:
            self.sock.shutdown(socket.SHUT_WR)
            out.finish(End.EOF)

    def _watch(self) -> None:
        if not self.is_open:
            return
        reads = not self._paused and (self.into is None or self.into.seen is None)
        waits = self._unsent or self._owed
        mask = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if waits else 0)
        if mask != self._mask:
            self._mask = mask
            self.poll.modify(self.sock, mask)
