"""Delayed ends: after a break of one connection, the other one is kept until its peer has got all bytes.

A reset discards the bytes in its socket's send buffer, and so does close(2) with unread bytes; but their sender has
long had them acknowledged. So a tunnel of which one connection broke goes on until the peer of the other one has
acknowledged everything, or until its deadline.
"""

from __future__ import annotations

import array
import fcntl
import socket
import termios
from collections.abc import Callable

import trio

from splicer.relay.tunnel import Leg, Tunnel

CLOSED = 7  # TCP_CLOSE in <netinet/tcp.h>: after a reset
_POLL_INTERVAL = 0.02  # seconds: Linux has no event for "all of it is acknowledged"
_SLICE = 64  # tunnels checked before other tasks run


def tcp_state(sock: socket.socket) -> int | None:
    """The first byte of struct tcp_info (tcp(7)); None: the socket is closed or not TCP."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return None


def unacknowledged(leg: Leg) -> int:
    """Bytes that the peer has not acknowledged, or had not at the time of a reset (SIOCOUTQ, tcp(7))."""
    answer = array.array("i", [0])
    if tcp_state(leg.sock) is not None:
        fcntl.ioctl(leg.fd, termios.TIOCOUTQ, answer)
    count = answer[0]
    return count - 1 if count and leg.peer.eof else count  # our FIN counts as one byte


def is_flushed(leg: Leg) -> bool:
    """Whether a socket's send buffer has nothing to lose: all bytes are acknowledged, or the connection is gone."""
    return tcp_state(leg.sock) in (None, CLOSED) or not unacknowledged(leg)


class Flushes:
    """The tunnels that only deliver their last bytes.

    Args:
        over: ends a tunnel that has delivered them.
    """

    def __init__(self, over: Callable[[Tunnel], None]) -> None:
        self._over = over
        self._tunnels: dict[Tunnel, Leg] = {}
        self._some = trio.Event()

    def add(self, leg: Leg) -> None:
        """End the leg's tunnel when the peer of its socket has acknowledged everything."""
        self._tunnels[leg.tunnel] = leg
        self._some.set()

    def discard(self, tunnel: Tunnel) -> None:
        """Forget a tunnel that has ended."""
        self._tunnels.pop(tunnel, None)

    async def run(self) -> None:
        """Check the tunnels until cancelled."""
        while True:
            await self._some.wait()
            await trio.sleep(_POLL_INTERVAL)
            for number, (tunnel, leg) in enumerate(list(self._tunnels.items()), 1):
                if tunnel in self._tunnels and is_flushed(leg):
                    self._over(tunnel)
                if not number % _SLICE:
                    await trio.lowlevel.checkpoint()
            if not self._tunnels:
                self._some = trio.Event()
