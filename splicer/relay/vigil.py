"""Telling a peer that has vanished from one that merely stopped reading.

TCP_USER_TIMEOUT ends a connection whose peer is gone. But since Linux 5.11 it also ends one whose peer is well
and keeps its window shut for that long (commit 9d9b1ee0b2d1): a paused reader would be cut off. So the vigil
looks at the legs that are being written to, lifts the option where the window is shut, and judges such a leg by
TCP_INFO instead: silence counts only while something waits for an acknowledgement.
"""

from __future__ import annotations

import socket
import struct

from splicer.relay.leg import Leg, Tunnel, TunnelEnd

_EVERY = 10.0  # seconds between two looks: several fit into the shortest useful TCP_USER_TIMEOUT
_TCP_INFO_BYTES = 148
_PROBES = struct.Struct("3xB20xI28xI84xI")  # tcpi_probes, tcpi_unacked, tcpi_last_ack_recv, tcpi_notsent_bytes


class Vigil:
    """Looks at each tunnel every few seconds; a tunnel without traffic costs no system call.

    Args:
        every: seconds between two looks at the same tunnel.
    """

    def __init__(self, every: float = _EVERY) -> None:
        self._every = every
        self._next = 0.0

    def is_due(self, now: float) -> bool:
        """Whether this sweep is one that looks; `now` in seconds on Trio's clock."""
        if now < self._next:
            return False
        self._next = now + self._every
        return True

    def look(self, tunnel: Tunnel) -> TunnelEnd | None:
        """The end of a tunnel whose peer has vanished behind a shut window, if it has."""
        for leg in (tunnel.client, tunnel.pod):
            written = leg.peer.total + leg.peer.parked
            if (written != leg.seen or leg.patience) and self._is_gone(leg):
                return TunnelEnd(leg.side, "timed_out")
            leg.seen = written
        return None

    def _is_gone(self, leg: Leg) -> bool:
        try:
            info = leg.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:  # not TCP, or broken: then reading it tells
            return False
        probes, unacked, silent_ms, unsent = _PROBES.unpack_from(info)
        if not leg.patience:
            if unsent and not unacked:
                leg.patience = leg.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                leg.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
            return False
        if not unsent:
            leg.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, leg.patience)
            leg.patience = 0
            return False
        return bool(silent_ms > leg.patience and (unacked or probes))
