"""One end of a light call: a socket in an epoll loop, with the streams that it sends and receives."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from attrs import define, field

from tests.stress.peer import prepare
from tests.stress.streams import LARGEST, End, Flow

_BUFFER = memoryview(bytearray(LARGEST))  # shared by all: received bytes are checked before other code runs


@define(eq=False)
class Side:
    """A client or a pod. It first sends and receives a head, then the streams that `begin` sets.

    Args:
        sock: connected or connecting.
        poll: the epoll of its events.
        heard: called with the other side's complete head; may call `begin`.
        ended: called at the end of the received stream.
        out: the stream that it sends.
        into: the stream that it receives.
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
        """Whether its socket is open."""
        return self.sock.fileno() >= 0

    def say(self, head: bytes) -> None:
        """Send a head."""
        self._unsent = head
        self._send()

    def begin(self, out: Flow, into: Flow, *, echoes: bool = False) -> None:
        """Set the streams of the call, to which all further bytes belong.

        Args:
            out: the stream that it sends.
            into: the stream that it receives.
            echoes: it sends as many bytes as it receives.
        """
        self.out, self.into, self._echoes = out, into, echoes

    def owe(self, size: int, *, last: bool = False) -> None:
        """Send this many more bytes of its stream as soon as possible; `last`: then end the stream."""
        self._owed += size
        self._last = self._last or last
        self._send()

    def pause(self) -> None:
        """Stop reading."""
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
        """Handle events; the side may have been closed since epoll returned them."""
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
            self._unsent, self._owed = b"", 0  # the receiving side is about to report the reason
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
