"""The ends of a TLS connection: how each side's end reaches the other, and what is waited for until then."""

from __future__ import annotations

import socket
import ssl
import struct
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress

from splicer.ipc.tls_table import WORDS, End, Wish, Word
from splicer.tls.kernel import is_flushed, peer_has_closed
from splicer.tls.loop import IN, OUT, Loop, Timer

_MOST_UNSENT = 4096  # bytes of OpenSSL's own messages for a peer that doesn't read; then it is not read either
_LINGER_SECONDS = 2.0  # for a client to close after we have
_FLUSH_SECONDS = 30.0  # for a peer to take the last bytes when the worker has left
_FLUSH_INTERVAL = 0.02
_LINGER_0 = struct.pack("ii", 1, 0)
_END, _WISH = int(Word.END), int(Word.WISH)


class LinkEnds:
    """The state of a connection, and its ends; `tls.link.Link` moves the bytes.

    Args:
        loop: the process's loop.
        raw: the socket to the peer.
        plain: the plain end, whose other end the worker has.
        tls: OpenSSL's connection, whose handshake is over.
        incoming: what OpenSSL reads.
        outgoing: what it wants to send.
        words: the process's row of the TLS table.
        entry: the number of the connection's entry.
        over: called once, when all is closed.
        to_pod: whether the peer is a pod.
    """

    __slots__ = (
        "_base",
        "_broken",
        "_entry",
        "_finished",
        "_incoming",
        "_leaving",
        "_loop",
        "_outgoing",
        "_over",
        "_plain",
        "_plain_eof",
        "_plain_mask",
        "_raw",
        "_raw_mask",
        "_raw_over",
        "_resetting",
        "_said",
        "_timer",
        "_tls",
        "_to_plain",
        "_to_pod",
        "_to_raw",
        "_words",
        "closed",
    )

    def __init__(
        self,
        loop: Loop,
        raw: socket.socket,
        plain: socket.socket,
        tls: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        words: memoryview[int],
        entry: int,
        over: Callable[[LinkEnds, int], None],
        *,
        to_pod: bool,
    ) -> None:
        self._loop = loop
        self._raw, self._plain = raw, plain
        self._tls, self._incoming, self._outgoing = tls, incoming, outgoing
        self._words, self._entry, self._base = words, entry, entry * WORDS
        self._over = over
        self._to_pod = to_pod
        self._to_plain = self._to_raw = b""  # what the sink has not taken yet
        self._raw_mask = self._plain_mask = IN  # -1: not watched
        self._raw_over = False  # the peer sends nothing more
        self._plain_eof = False  # the worker sends nothing more
        self._leaving = False  # the worker has closed the plain end: what the peer sends is dropped
        self._broken = End.OPEN  # the raw socket takes nothing more, for this reason
        self._said = self._finished = False  # close_notify was made; it is with the kernel
        self._resetting = False
        self._timer: Timer | None = None
        self.closed = False

    @property
    def sock(self) -> socket.socket:
        """The raw socket."""
        return self._raw

    @property
    def base(self) -> int:
        """The first word of its entry."""
        return self._base

    @property
    def blocked(self) -> bool:
        """Whether the peer's kernel takes no bytes at present."""
        return bool(self._to_raw)

    @abstractmethod
    def on_raw(self, mask: int) -> None:
        """Handle events of the raw socket."""

    @abstractmethod
    def on_plain(self, mask: int) -> None:
        """Handle events of the plain end."""

    @abstractmethod
    def _decrypt(self) -> None:
        """Decrypt what has come, and deliver it."""

    @abstractmethod
    def _flush(self) -> None:
        """Send what OpenSSL wants to send."""

    # ---- ends ----

    # The words come first (see `ipc.tls_table`).
    def _peer_ends(self, end: End) -> None:
        self._raw_over = True
        if self._words[self._base + _END] == End.OPEN:
            self._words[self._base + _END] = end
        self._unwatch_raw()
        if not self._to_plain:
            self._delivered()

    # All bytes that came are with the worker.
    def _delivered(self) -> None:
        if not self._raw_over:
            self._watch()
            if self._incoming.pending:
                self._decrypt()
            elif self._plain_eof and not self._said:
                self._say_goodbye()
        elif self._words[self._base + _END] != End.EOF:
            self.close()
        elif self._plain_eof:
            self._say_goodbye()
        else:
            try:
                self._plain.shutdown(socket.SHUT_WR)
            except OSError:
                self.close()
            else:
                self._watch()

    # Both directions of the plain end are closed: by the worker, or by its death, and then there is no wish.
    def _worker_leaves(self) -> None:
        if self._leaving:
            return
        self._leaving, self._to_plain = True, b""
        self._timer = self._loop.later(_LINGER_SECONDS if self._said else _FLUSH_SECONDS, self.close)
        if self._plain_eof and self._words[self._base + _WISH] == Wish.RESET:
            self._reset_when_flushed()
        elif self._incoming.pending and not self._raw_over:
            self._decrypt()
        if not self.closed:
            self._watch()

    def _worker_ends(self) -> None:
        self._plain_eof = True
        if peer_has_closed(self._plain):
            self._worker_leaves()
        wish = self._words[self._base + _WISH]
        if self.closed or self._resetting:
            return
        if self._broken:
            self.close()
        elif wish == Wish.RESET:
            self._reset_when_flushed()
        elif self._leaving and wish == Wish.NONE and not self._raw_over:
            self.close()
        else:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        if self._resetting:
            return
        if self._said:
            if self._raw_over and not self._to_raw:
                self.close()
            return
        if not self._raw_over and (self._incoming.pending or self._to_plain):
            self._watch()
            return
        self._said = True
        with suppress(ssl.SSLError, OSError):  # it waits for the peer's close_notify, which may never come
            self._tls.unwrap()
        self._flush()

    # close_notify is with the kernel.
    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        try:
            self._raw.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        if self._raw_over:
            self.close()
            return
        if self._leaving:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.later(_LINGER_SECONDS, self.close)
        self._watch()

    # A reset discards what the peer has not acknowledged; but its sender has long been told that it arrived.
    def _reset_when_flushed(self) -> None:
        if self.closed:
            return
        self._resetting = True
        if self._to_raw or not is_flushed(self._raw):
            self._loop.later(_FLUSH_INTERVAL, self._reset_when_flushed)
            return
        with suppress(OSError):
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self.close()

    def vanish(self) -> None:
        """The peer has vanished, though the kernel keeps its connection."""
        if not self.closed:
            self._to_raw = b""
            self._peer_ends(End.TIMED_OUT)

    def close(self) -> None:
        """Close both sockets at once."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._words[self._base + _END] == End.OPEN:
            self._words[self._base + _END] = self._broken or End.CLOSED
        for sock in (self._raw, self._plain):
            self._loop.forget(sock.fileno())
            sock.close()
        self._to_plain = self._to_raw = b""
        self._over(self, self._entry)

    # ---- what is waited for ----

    def _watch(self) -> None:
        """Wait for what can be handled now; a hang-up that can't be is not waited for."""
        raw = plain = 0
        if not (self._raw_over or self._to_plain) and self._outgoing.pending < _MOST_UNSENT:
            raw |= IN
        if self._to_raw:
            raw |= OUT
        if not (self._plain_eof or self._to_raw):
            plain |= IN
        if self._to_plain:
            plain |= OUT
        if self._leaving and (self._plain_eof or self._to_raw):
            plain = -1
        self._raw_mask = self._set(self._raw, self._raw_mask, raw or -1, self.on_raw)
        self._plain_mask = self._set(self._plain, self._plain_mask, plain, self.on_plain)

    def _unwatch_raw(self) -> None:
        self._raw_mask = self._set(self._raw, self._raw_mask, OUT if self._to_raw else -1, self.on_raw)

    def _set(self, sock: socket.socket, mask: int, wanted: int, handler: Callable[[int], None]) -> int:
        if mask == wanted:
            return mask
        if wanted < 0:
            self._loop.forget(sock.fileno())
        elif mask < 0:
            self._loop.watch(sock.fileno(), wanted, handler)
        else:
            self._loop.change(sock.fileno(), wanted)
        return wanted
