"""How a direction ends: in order, by a break, or because its peer has vanished. What is left must still arrive."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from splicer.relay.api import TunnelEnd
from splicer.relay.flush import is_flushed
from splicer.relay.tunnel import Leg

if TYPE_CHECKING:
    from splicer.relay.mover import Mover


# A direction ends only when its source's end of stream was read and its pipe is empty: `_fill` reads with a
# clean pipe, so an end of stream never overtakes bytes.
def read_eof(mover: Mover, leg: Leg, now: float) -> None:
    """An end of stream was read."""
    tunnel, peer = leg.tunnel, leg.peer
    if leg.broken:
        break_off(mover, leg, leg.broken, now)
        return
    if peer.over:  # it says no more, but may be reading
        leg.over = True
        mover.watch(leg)
        return
    leg.eof = True
    if tunnel.closer is None:
        tunnel.closer = leg.side
    tunnel.last = now
    if peer.eof:
        mover.end(tunnel, TunnelEnd(tunnel.closer, "eof"))
        return
    with contextlib.suppress(OSError):  # a peer that is gone shows itself when it is read or written
        peer.sock.shutdown(socket.SHUT_WR)
    mover.watch(leg)
    mover.news.expect(tunnel)


# What the broken connection had brought has been read by now, and its sender was told long ago that it arrived: the
# other one gets the time of a half-closed tunnel to take it. What that one says meanwhile is dropped: who has to
# write before he reads would take nothing.
def break_off(mover: Mover, leg: Leg, reason: str, now: float) -> None:
    """The connection of this leg broke; `reason` is the word for it in `TunnelEnd`."""
    tunnel, peer = leg.tunnel, leg.peer
    end = TunnelEnd(leg.side, reason, reset=reason == "reset")
    if not peer.over:
        leg.broken = reason
    if peer.over or is_flushed(peer):
        mover.end(tunnel, end)
        return
    leg.over = peer.discard = True
    tunnel.closer = tunnel.closer or leg.side
    tunnel.last = now
    mover.news.expect(tunnel)
    mover.news.flush(peer)
    if peer.parked:
        mover.drain(peer, now)
    mover.watch(leg)
    mover.watch(peer)


# The peer takes no more. What it sent before it broke is still delivered: its own end, or error, is read in
# its turn and says how the tunnel ends. If its end of stream was read long ago, only this direction suffers;
# so too if that is there but not yet read: then the first write hears EPIPE (Linux, tcp_reset() in CLOSE_WAIT).
def write_failed(mover: Mover, leg: Leg, error: OSError, now: float) -> None:
    """The peer's socket takes nothing more."""
    tunnel, peer = leg.tunnel, leg.peer
    leg.discard = True
    if not isinstance(error, BrokenPipeError):
        peer.broken = why_broken(error)
    if tunnel.closer is None:
        tunnel.closer = peer.side
        tunnel.last = now
        mover.news.expect(tunnel)
    mover.drain(leg, now)


# The kernel keeps the connection of one who has vanished, so it is told to give what he had sent, and then an end.
def lose(mover: Mover, leg: Leg, now: float) -> None:
    """The peer of this leg has vanished."""
    if leg.eof or leg.peer.over:
        mover.end(leg.tunnel, TunnelEnd(leg.side, "timed_out"))
        return
    write_failed(mover, leg.peer, TimeoutError(), now)
    with contextlib.suppress(OSError):
        leg.sock.shutdown(socket.SHUT_RD)


def why_broken(error: OSError) -> str:
    """The word for it in `TunnelEnd`."""
    if isinstance(error, ConnectionResetError):
        return "reset"
    if isinstance(error, TimeoutError):
        return "timed_out"
    return os.strerror(error.errno or 0).lower().replace(" ", "_")
