"""A TCP connection for the session: reads and writes with few checkpoints; it ends with FIN, RST or neither."""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import struct
import termios
from typing import Protocol

import trio

from splicer.net.tcpinfo import quality
from splicer.quality import Quality
from splicer.tls_facts import TlsFacts

READ_BYTES = 32 * 1024  # what one read takes at most
# ... while a head is awaited: what comes behind the head of a call must fit into one pipe, and of those there may be
# none left that hold more than 8 KiB (pipe(7), pipe-user-pages-soft).
HEAD_READ_BYTES = 4096

_ESTABLISHED, _CLOSED = 1, 7  # TCP_ESTABLISHED and TCP_CLOSE in <netinet/tcp.h>
_LINGER_0 = struct.pack("ii", 1, 0)


class TlsLeg(Protocol):
    """What a tls process says of a connection; see `ipc.tls_table.TlsEntry`."""

    @property
    def facts(self) -> TlsFacts:
        """What was agreed in the handshake."""
        ...

    @property
    def end(self) -> str:
        """Why the peer sends nothing more: "eof", "reset", ...; "tls_lost" if the tls process has died."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether the tls process has said why."""
        ...

    @property
    def received(self) -> int | None:
        """Bytes that the peer has sent, and that the plain end was given; None: unknown."""
        ...

    @property
    def silent(self) -> float | None:
        """Seconds since the last byte, either way; None: unknown."""
        ...

    def quality(self) -> Quality | None:
        """The peer's network quality; None: unknown."""
        ...

    def wish_close(self) -> None:
        """Have the connection closed in order when the plain end is."""

    def wish_reset(self) -> None:
        """Have it reset."""


class ByteStream(Protocol):
    """The connection interface of a session.

    The async methods raise `trio.BrokenResourceError` when the connection is broken. They return without a checkpoint
    if they needn't wait (but see `later`), so a caller that loops over them must yield to Trio itself.
    """

    @property
    def sock(self) -> socket.socket:
        """The socket, for the relay."""
        ...

    @property
    def written(self) -> int | None:
        """Bytes that the socket has taken through this object and before; None: unknown."""
        ...

    def receive_now(self, max_bytes: int) -> bytes | None:
        """As `receive_some`, or None if it would have to wait; it raises the same."""
        ...

    async def receive_some(self, max_bytes: int, *, later: bool = False) -> bytes:
        """At least one byte, or b"" at the end of the stream.

        Args:
            max_bytes: the maximal number of bytes.
            later: there is probably nothing yet, so it is waited for before the first attempt; this has a checkpoint.
        """
        ...

    async def wait_readable(self) -> None:
        """Wait until there may be something to read; this has a checkpoint."""
        ...

    def send_now(self, data: bytes) -> int:
        """The number of bytes that could be sent without waiting; it raises as `send_all`."""
        ...

    async def send_all(self, data: bytes) -> None:
        """Send everything."""
        ...

    def send_eof(self) -> None:
        """Half-close: send a FIN."""
        ...

    def is_quiet(self) -> bool:
        """Whether there is nothing to read: no byte, no end of stream, no error."""
        ...

    def is_gone(self) -> bool:
        """Whether the peer has closed or reset the connection, even if bytes are left to read."""
        ...

    def is_flushed(self) -> bool:
        """Whether a reset would discard nothing: the peer's kernel has acknowledged all bytes, or the peer is gone."""
        ...

    def close(self) -> None:
        """Close with a FIN; idempotent."""
        ...

    def close_ended(self) -> None:
        """Close, after both directions have ended: there is no FIN left to be sent; idempotent."""
        ...

    def reset(self) -> None:
        """Close with an RST; idempotent."""
        ...

    def abandon(self) -> None:
        """Close the descriptor and send nothing to the peer: another process has a duplicate and goes on with it."""
        ...

    def quality(self) -> Quality | None:
        """The network quality of the connection to the peer; None: unknown."""
        ...

    @property
    def tls(self) -> TlsLeg | None:
        """What a tls process says of the peer, if it stands between; None: the peer is at the socket's other end."""
        ...


class TcpStream:
    """A connected, non-blocking socket.

    Args:
        sock: the socket.
        written: bytes that were written to it before; None: unknown.

    Trio's SocketStream yields to the scheduler on every call; on the handshake path that costs more than the system
    calls do.
    """

    __slots__ = ("_waits", "sock", "written")
    tls: TlsLeg | None = None

    def __init__(self, sock: socket.socket, written: int | None = None) -> None:
        self.sock = sock
        self.written = written
        self._waits = 0  # tasks that wait for the socket, and waits that were ended from elsewhere

    def receive_now(self, max_bytes: int) -> bytes | None:
        """See `ByteStream`."""
        try:
            return self.sock.recv(max_bytes)
        except BlockingIOError:
            return None
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def receive_some(self, max_bytes: int, *, later: bool = False) -> bytes:
        """See `ByteStream`."""
        data = None if later else self.receive_now(max_bytes)
        while data is None:
            self._waits += 1
            try:
                await trio.lowlevel.wait_readable(self.sock)
            except OSError as error:
                raise trio.BrokenResourceError from error
            self._waits -= 1
            data = self.receive_now(max_bytes)
        return data

    async def wait_readable(self) -> None:
        """See `ByteStream`."""
        self._waits += 1
        await trio.lowlevel.wait_readable(self.sock)
        self._waits -= 1

    def send_now(self, data: bytes) -> int:
        """See `ByteStream`."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError from error
        if self.written is not None:
            self.written += sent
        return sent

    # Since Linux 5.11 the user timeout also ends a connection whose peer is alive and keeps its window shut. So it is
    # switched off here: a peer that doesn't read is a matter for the exchange's own deadline.
    async def send_all(self, data: bytes) -> None:
        """See `ByteStream`."""
        left: bytes | memoryview = data
        try:
            while left:
                try:
                    sent = self.sock.send(left)
                except BlockingIOError:
                    self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
                    self._waits += 1
                    await trio.lowlevel.wait_writable(self.sock)
                    self._waits -= 1
                else:
                    if self.written is not None:
                        self.written += sent
                    left = memoryview(left)[sent:] if sent < len(left) else b""
        except OSError as error:
            raise trio.BrokenResourceError from error

    def send_eof(self) -> None:
        """See `ByteStream`."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def is_quiet(self) -> bool:
        """See `ByteStream`."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def is_gone(self) -> bool:
        """See `ByteStream`; the state is the first byte of struct tcp_info (tcp(7))."""
        return self._state() != _ESTABLISHED

    def _state(self) -> int:
        return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]

    def is_flushed(self) -> bool:
        """See `ByteStream`; SIOCOUTQ (tcp(7)) keeps its value after a reset, so the state is asked too."""
        answer = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.TIOCOUTQ, answer)
        return not answer[0] or self._state() == _CLOSED

    # Another process may hold a duplicate of the descriptor, and then close(2) alone sends no FIN.
    def close(self) -> None:
        """See `ByteStream`."""
        if self.sock.fileno() < 0:
            return
        try:  # noqa: SIM105 - twice for each call, and half of the time it fails; `suppress` takes longer
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._close()

    def close_ended(self) -> None:
        """See `ByteStream`."""
        self._close()

    def reset(self) -> None:
        """See `ByteStream`."""
        if self.sock.fileno() < 0:
            return
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self._close()

    def abandon(self) -> None:
        """See `ByteStream`."""
        self._close()

    def quality(self) -> Quality | None:
        """See `ByteStream`."""
        return quality(self.sock)

    # If nobody waits, and each wait had its event, Trio's epoll has nothing to say of the descriptor any more
    # (EPOLLONESHOT, epoll_ctl(2)), even while another process has a duplicate; and each call closes two.
    def _close(self) -> None:
        if self._waits:
            trio.lowlevel.notify_closing(self.sock)
        self.sock.close()
