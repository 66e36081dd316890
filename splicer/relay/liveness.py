"""Distinguishing a peer that has vanished from one that has only stopped reading.

TCP_USER_TIMEOUT ends a connection whose peer is gone. But since Linux 5.11 it also ends one whose peer is alive and
keeps its window shut for that long (commit 9d9b1ee0b2d1): a paused reader would be cut off. So this check watches the
legs that are being written to, switches the option off while bytes wait in the kernel, and judges such a leg by
TCP_INFO instead: by its silence, once it has left more than one transmission unanswered.

The kernel probes a shut window less and less often, finally every two minutes. So a long silence alone means nothing,
nor does one unanswered probe; and a peer that vanishes after a long pause may be noticed only after four minutes.
"""

from __future__ import annotations

import os
import socket
import struct

from splicer.relay.api import PeerEnd
from splicer.relay.flush import CLOSED, tcp_state
from splicer.relay.leaving import why_broken
from splicer.relay.tunnel import Leg, Tunnel

_CHECK_INTERVAL = 10.0  # seconds between two checks: several fit into the shortest useful TCP_USER_TIMEOUT
_TCP_INFO_BYTES = 148
_FACTS = struct.Struct("2xBB52xI84xI")  # tcpi_retransmits, tcpi_probes, tcpi_last_ack_recv, tcpi_notsent_bytes
_MAX_UNANSWERED = 2  # transmissions in a row; the answer to a single one may be on its way, or lost


class PeerLiveness:
    """Checks each tunnel every few seconds; a tunnel without traffic costs no system call.

    Args:
        every: seconds between two checks of the same tunnel.
    """

    def __init__(self, every: float = _CHECK_INTERVAL) -> None:
        self._every = every
        self._next = 0.0

    def is_due(self, now: float) -> bool:
        """Whether this sweep must check the peers; `now` in seconds on Trio's clock."""
        if now < self._next:
            return False
        self._next = now + self._every
        return True

    def look(self, tunnel: Tunnel) -> Leg | None:
        """The leg whose peer has vanished behind a shut window, if one has."""
        for leg in (tunnel.client, tunnel.pod):
            if leg.peer_end is not None:
                self._ask(leg, leg.peer_end)
                continue
            # A leg whose bytes are parked is not read, so a reset is not noticed. Once it is found here, the tunnel has
            # the time of `half_closed`.
            if leg.parked and leg.broken is None and tcp_state(leg.sock) == CLOSED:
                tunnel.closer = tunnel.closer or leg.side
                if code := leg.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    leg.broken = why_broken(OSError(code, os.strerror(code)))
            written = leg.peer.total
            if (written != leg.seen or leg.patience) and self._is_gone(leg):
                return leg
            leg.seen = written
        return None

    # The tls process looks after its peers itself (`tls.liveness`), and says how they end.
    def _ask(self, leg: Leg, peer_end: PeerEnd) -> None:
        if leg.parked and leg.broken is None and peer_end.has_ended and peer_end.end != "eof":
            leg.broken = peer_end.end
            leg.tunnel.closer = leg.tunnel.closer or leg.side

    # While any bytes wait, the option is off and the leg is checked each time: an open window may be shut by the next
    # check.
    def _is_gone(self, leg: Leg) -> bool:
        try:
            info = leg.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:  # not TCP, or broken: then a read shows it
            return False
        retransmits, probes, silent_ms, unsent = _FACTS.unpack_from(info)
        if not unsent:
            if leg.patience:
                leg.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, leg.patience)
                leg.patience = 0
            return False
        if not leg.patience:
            leg.patience = leg.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            leg.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
            return False
        return bool(silent_ms > leg.patience and max(retransmits, probes) >= _MAX_UNANSWERED)
