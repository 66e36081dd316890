"""New calls over TLS: each is a full TLS handshake, and hangs up at the 101."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable

from bench.traffic.dial import open_tunnels
from bench.traffic.handshakes import Call, Handshakes
from bench.traffic.load import Load
from bench.traffic.outcome import Outcome
from bench.traffic.secured import check, wrapped

_TIMEOUT = 5.0  # seconds for a TCP connection


def prepare(load: Load) -> Callable[[], Outcome]:
    """Check that one call succeeds, and return a function that runs the load.

    Raises:
        DialFailed: the call fails.
    """
    for tunnel in open_tunnels(load.address, load.targets, len(load.targets), tls=True):
        tunnel.close()
    return TlsHandshakes(load).run


class TlsHandshakes(Handshakes):
    """Short calls; see `Handshakes`."""

    def connect(self, head: bytes) -> tuple[socket.socket, bytes]:
        """See `Handshakes`: the head can't be sent yet."""
        raw = socket.create_connection(self._load.address, timeout=_TIMEOUT)  # on loopback it is there at once
        sock = wrapped(raw)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._shake_hands(sock)
            self._poll.register(sock, select.EPOLLIN)
        except BaseException:
            sock.close()
            raise
        return sock, head

    def advance(self, call: Call) -> bytes | None:
        """See `Handshakes`."""
        sock = call.sock
        assert isinstance(sock, ssl.SSLSocket)  # noqa: S101 - `connect` makes no other
        try:
            if call.unsent:
                sock.do_handshake()
                check(sock)
                sock.send(call.unsent)
                call.unsent = b""
                return None
            return sock.recv(self.LONGEST_HEAD)
        except ssl.SSLWantReadError:  # the handshake goes on, or a ticket has come
            return None

    def _shake_hands(self, sock: ssl.SSLSocket) -> None:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            return
