"""The plain end of a TLS connection: a unix socket whose other end a tls process has."""

from __future__ import annotations

import array
import contextlib
import fcntl
import select
import socket
import termios

import trio

from splicer.net.stream import TcpStream, TlsLeg
from splicer.quality import Quality

_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class PlainStream(TcpStream):
    """A connected, non-blocking unix socket; what it tells of its end goes through the TLS table (`ipc.tls_table`).

    Args:
        sock: the socket.
        tls: the connection's entry in the table.
    """

    __slots__ = ("tls",)

    def __init__(self, sock: socket.socket, tls: TlsLeg) -> None:
        super().__init__(sock)
        self.tls: TlsLeg = tls

    # The tls process keeps a paused peer: there is no timeout of TCP to be switched off here.
    async def send_all(self, data: bytes) -> None:
        """See `ByteStream`."""
        left: bytes | memoryview = data
        try:
            while left:
                try:
                    sent = self.sock.send(left)
                except BlockingIOError:
                    self._waits += 1
                    await trio.lowlevel.wait_writable(self.sock)
                    self._waits -= 1
                else:
                    left = memoryview(left)[sent:] if sent < len(left) else b""
        except OSError as error:
            raise trio.BrokenResourceError from error

    def is_gone(self) -> bool:
        """See `ByteStream`."""
        poll = select.poll()
        poll.register(self.sock, _GONE)
        return bool(poll.poll(0))

    # SIOCOUTQ of a unix socket counts memory, not bytes (unix(7)); it is 0 when all is taken. The tls process delivers
    # that before it resets.
    def is_flushed(self) -> bool:
        """See `ByteStream`."""
        answer = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.TIOCOUTQ, answer)
        return not answer[0] or self.is_gone()

    def close(self) -> None:
        """See `ByteStream`."""
        if self.sock.fileno() >= 0:
            self.tls.wish_close()
        super().close()

    def close_ended(self) -> None:
        """See `ByteStream`: the tls process hears of it from its entry."""
        self.close()

    def reset(self) -> None:
        """See `ByteStream`."""
        if self.sock.fileno() < 0:
            return
        self.tls.wish_reset()
        with contextlib.suppress(OSError):  # the vault may have a duplicate
            self.sock.shutdown(socket.SHUT_RDWR)
        self.abandon()

    def quality(self) -> Quality | None:
        """See `ByteStream`."""
        return self.tls.quality()
