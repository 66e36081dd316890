"""Ends that wait until the other side has what it was sent.

A reset discards what its socket still holds, and so does close(2) with something unread; but its sender was told long
ago that it arrived. So a tunnel of which one connection broke goes on until the other one's peer has acknowledged
everything, or its time is up.
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
_SLICE = 64  # tunnels that are looked at in one go


def tcp_state(sock: socket.socket) -> int | None:
    """The first byte of struct tcp_info (tcp(7)); None: it is none of TCP's."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return None


def unacknowledged(leg: Leg) -> int:
    """Bytes that a socket took and its peer has not acknowledged, after a reset those of then (SIOCOUTQ, tcp(7))."""
    answer = array.array("i", [0])
    if tcp_state(leg.sock) is not None:
        fcntl.ioctl(leg.fd, termios.TIOCOUTQ, answer)
    count = answer[0]
    return count - 1 if count and leg.peer.eof else count  # without our FIN, which counts as the last one


def is_flushed(leg: Leg) -> bool:
    """Whether nothing that a socket took can be discarded any more: all is acknowledged, or it is gone already."""
    return tcp_state(leg.sock) in (None, CLOSED) or not unacknowledged(leg)


class Flushes:
    """The tunnels that only deliver what is left.

    Args:
        over: ends one that has delivered it.
    """

    def __init__(self, over: Callable[[Tunnel], None]) -> None:
        self._over = over
        self._tunnels: dict[Tunnel, Leg] = {}
        self._some = trio.Event()

    def add(self, leg: Leg) -> None:
        """End its tunnel when the peer of its socket has acknowledged everything."""
        self._tunnels[leg.tunnel] = leg
        self._some.set()

    def discard(self, tunnel: Tunnel) -> None:
        """It has ended."""
        self._tunnels.pop(tunnel, None)

    async def run(self) -> None:
        """Look at them until cancelled."""
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
