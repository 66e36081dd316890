"""The ends of a direction: end of stream, broken connection, vanished peer. Bytes read before must still arrive."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from splicer.relay.api import TunnelEnd
from splicer.relay.flush import is_flushed
from splicer.relay.tunnel import Leg

if TYPE_CHECKING:
    from splicer.relay.directions import Directions


# Invariant: a direction ends only when its source's end of stream was read and its pipe is empty. `_fill` reads only
# with a clean pipe, so an end of stream never overtakes bytes.
def read_eof(mover: Directions, leg: Leg, now: float) -> None:
    """Handle an end of stream that was read from the leg."""
    tunnel, peer = leg.tunnel, leg.peer
    if leg.broken or (leg.peer_end is not None and leg.peer_end.end != "eof"):
        break_off(mover, leg, leg.broken or why_ended(leg), now)
        return
    if peer.over:  # this side sends no more, but may still be reading
        leg.over = True
        mover.watch(leg)
        return
    leg.eof = True
    if tunnel.closer is None:
        tunnel.closer = leg.side
    tunnel.last = now
    if peer.eof:
        mover.end(tunnel, TunnelEnd(tunnel.closer, "eof", shut=leg.side))
        return
    try:  # noqa: SIM105 - each call has this; `suppress` takes longer
        peer.sock.shutdown(socket.SHUT_WR)
    except OSError:  # if the peer is gone, the next read or write shows it
        pass
    mover.watch(leg)
    mover.news.expect(tunnel)


# All bytes of the broken connection have been read by now, and their sender has had them acknowledged: the other side
# has the time of a half-closed tunnel to take them. Bytes from that side are read and dropped meanwhile: a program that
# must finish its write before it reads would otherwise take nothing.
def break_off(mover: Directions, leg: Leg, reason: str, now: float) -> None:
    """Handle that the connection of this leg broke; `reason` goes into `TunnelEnd`."""
    tunnel, peer = leg.tunnel, leg.peer
    end = leg.end_of_break(reason)
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


# The peer takes no more bytes. Those that it sent before are still delivered: its end of stream or its error is read
# later, and decides how the tunnel ends. If its end of stream has been read already, only this direction ends; so too
# if that is received but unread: then the first write gets EPIPE (Linux, tcp_reset() in CLOSE_WAIT).
def write_failed(mover: Directions, leg: Leg, error: OSError, now: float) -> None:
    """Handle that a write to the leg's peer failed."""
    tunnel, peer = leg.tunnel, leg.peer
    leg.discard = True
    if not isinstance(error, BrokenPipeError):
        peer.broken = why_broken(error)
    if tunnel.closer is None:
        tunnel.closer = peer.side
        tunnel.last = now
        mover.news.expect(tunnel)
    mover.drain(leg, now)


# The kernel keeps the connection of a vanished peer. After SHUT_RD it delivers the bytes received so far, and then an
# end of stream.
def lose(mover: Directions, leg: Leg, now: float) -> None:
    """Handle that the remote peer of this leg has vanished."""
    if leg.eof or leg.peer.over:
        mover.end(leg.tunnel, TunnelEnd(leg.side, "timed_out"))
        return
    write_failed(mover, leg.peer, TimeoutError(), now)
    with contextlib.suppress(OSError):
        leg.sock.shutdown(socket.SHUT_RD)


def why_ended(leg: Leg, error: OSError | None = None) -> str:
    """The `reason` of `TunnelEnd` for a connection that broke: a tls process knows it better than the socket."""
    if leg.peer_end is not None:
        end = leg.peer_end.end
        return "reset" if end in ("eof", "closed") else end
    return "reset" if error is None else why_broken(error)


def why_broken(error: OSError) -> str:
    """The `reason` of `TunnelEnd` for an error."""
    if isinstance(error, ConnectionResetError):
        return "reset"
    if isinstance(error, TimeoutError):
        return "timed_out"
    return os.strerror(error.errno or 0).lower().replace(" ", "_")
