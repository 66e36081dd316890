"""How the bytes of one direction move: from a socket into a pipe, and from the pipe into the other socket.

- A clean pipe is taken, filled by one splice and drained at once. Only when the destination is full does it
  stay *parked* with its direction: then that source is not read until the pipe is empty.
- The journal says whose bytes a pipe holds before it holds any: who takes over from a killed worker goes by it.
- Where no pipe can be had, one that is kept for it serves those whose peer has room, and so is never held for long.
- We wait on sockets, never on pipes. With a clean pipe EAGAIN from the fill means "no data".
- Never SPLICE_F_MORE: small frames would wait 200 ms for company.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket

from splicer.relay.coalesce import LARGE, FrameCoalescer
from splicer.relay.flush import Flushes, is_flushed
from splicer.relay.pipes import Pipe, PipePool, PipeRegistry
from splicer.relay.tunnel import WRITE, Leg, Tunnel, TunnelEnd, why_broken

_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_SIOCATMARK = 0x8905  # <linux/sockios.h>: whether the next byte is the urgent one
_PAGE = 4096  # bytes that any clean pipe takes in one piece


class Mover:
    """Moves bytes in plain function calls; who inherits it says when, and what becomes of a tunnel that is over.

    Args:
        keeper: of the pipes, should this process die.
        gathering: is told how much has moved.
    """

    def __init__(self, registry: PipeRegistry, coalescer: FrameCoalescer) -> None:
        self._epoll = select.epoll()
        self._pipes = PipePool(registry)
        self._words = registry.words
        self._devnull = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._coalescer = coalescer
        self._starved: list[Leg] = []
        self._flushes = Flushes(self._end)

    def _end(self, tunnel: Tunnel, result: TunnelEnd) -> None:
        """It is over: see that nothing of it moves any more."""
        raise NotImplementedError

    def _expect(self, tunnel: Tunnel) -> None:
        """Its next deadline may have come nearer."""
        raise NotImplementedError

    # What a frame does as a rule, in one go: the pipe stays in the pool, for it is clean again at once, and nobody else
    # runs meanwhile. Whatever leaves bytes in it takes it out.
    def _pass(self, leg: Leg, pipe: Pipe, now: float) -> None:
        self._words[pipe.place] = leg.word
        try:
            count = os.splice(leg.fd, pipe.write_fd, pipe.size, flags=_FLAGS)
        except BlockingIOError:
            self._fill(leg, now)  # nothing there, or urgent data
            return
        except OSError as error:
            self._break_off(leg, leg.broken or why_broken(error), now)
            return
        if not count:
            self._read_eof(leg, now)
            return
        if count > LARGE:
            self._coalescer.frames += count // 1024
        try:
            sent = os.splice(pipe.read_fd, leg.peer.fd, count, flags=_FLAGS)
        except BaseException as error:
            leg.pipe, leg.parked = self._pipes.take(), count
            if not isinstance(error, OSError):
                raise
            if not isinstance(error, BlockingIOError):
                self._write_failed(leg, error, now)
        else:
            leg.total += sent
            leg.tunnel.last = now
            if sent == count:
                return
            leg.pipe, leg.parked = self._pipes.take(), count - sent
        if leg.parked:
            self._watch(leg)
            self._watch(leg.peer)

    # Bytes leave the source's socket only into a pipe that is clean, and stay in it until the peer took them.
    def _fill(self, leg: Leg, now: float) -> None:
        most = _PAGE
        try:
            pipe = self._pipes.take()
            most = pipe.size
        except OSError:
            if (last := self._make_do(leg)) is None:
                return
            pipe = last
        self._words[pipe.place] = leg.word
        try:
            try:
                count = os.splice(leg.fd, pipe.write_fd, most, flags=_FLAGS)
            except BlockingIOError:
                count = _copy(leg.sock, pipe)
        except BlockingIOError:
            self._pipes.give_back(pipe)
            return
        except OSError as error:
            self._pipes.give_back(pipe)
            self._break_off(leg, leg.broken or why_broken(error), now)
            return
        if not count:
            self._pipes.give_back(pipe)
            self._read_eof(leg, now)
            return
        leg.pipe, leg.parked = pipe, count
        self._drain(leg, now)
        if leg.parked:
            self._watch(leg)
            self._watch(leg.peer)

    # When no pipe can be had there is still the last one. It is lent only to a direction whose peer has room for all
    # that is put into it, so one slow reader holds up nobody else. Who has to wait for room, or for the last pipe,
    # counts as parked without a pipe: nothing has been read, and the fill is tried anew.
    def _make_do(self, leg: Leg) -> Pipe | None:
        has_room = leg.discard or _has_room(leg.peer)
        pipe = self._pipes.take_last() if has_room else None
        if pipe is None:
            leg.parked, leg.starved = 1, has_room
            if has_room:
                self._starved.append(leg)
            self._watch(leg)
            self._watch(leg.peer)
        return pipe

    def _drain(self, leg: Leg, now: float) -> None:
        pipe = leg.pipe
        if pipe is None:
            leg.parked = 0
            self._fill(leg, now)
            self._watch(leg)
            self._watch(leg.peer)
            return
        try:
            count = os.splice(pipe.read_fd, self._devnull if leg.discard else leg.peer.fd, leg.parked, flags=_FLAGS)
        except BlockingIOError:
            return
        except OSError as error:
            self._write_failed(leg, error, now)
            return
        leg.parked -= count
        if not leg.discard:
            leg.total += count
            leg.tunnel.last = now
        if not leg.parked:
            leg.pipe = None
            self._pipes.give_back(pipe)
            if leg.peer.mask & WRITE:
                self._watch(leg)
                self._watch(leg.peer)

    # A direction ends only when its source's end of stream was read and its pipe is empty: `_fill` reads with a
    # clean pipe, so an end of stream never overtakes bytes.
    def _read_eof(self, leg: Leg, now: float) -> None:
        tunnel, peer = leg.tunnel, leg.peer
        if leg.broken:
            self._break_off(leg, leg.broken, now)
            return
        if peer.over:  # it says no more, but may be reading
            leg.over = True
            self._watch(leg)
            return
        leg.eof = True
        if tunnel.closer is None:
            tunnel.closer = leg.side
        tunnel.last = now
        if peer.eof:
            self._end(tunnel, TunnelEnd(tunnel.closer, "eof"))
            return
        with contextlib.suppress(OSError):  # a peer that is gone shows itself when it is read or written
            peer.sock.shutdown(socket.SHUT_WR)
        self._watch(leg)
        self._expect(tunnel)

    # What the broken connection had brought has been read by now, and its sender was told long ago that it arrived: the
    # other one gets the time of a half-closed tunnel to take it. What that one says meanwhile is dropped: who has to
    # write before he reads would take nothing.
    def _break_off(self, leg: Leg, reason: str, now: float) -> None:
        tunnel, peer = leg.tunnel, leg.peer
        end = TunnelEnd(leg.side, reason, reset=reason == "reset")
        if not peer.over:
            leg.broken = reason
        if peer.over or is_flushed(peer):
            self._end(tunnel, end)
            return
        leg.over = peer.discard = True
        tunnel.closer = tunnel.closer or leg.side
        tunnel.last = now
        self._expect(tunnel)
        self._flushes.add(peer, end)
        if peer.parked:
            self._drain(peer, now)
        self._watch(leg)
        self._watch(peer)

    # The peer takes no more. What it sent before it broke is still delivered: its own end, or error, is read in
    # its turn and says how the tunnel ends. If its end of stream was read long ago, only this direction suffers;
    # so too if that is there but not yet read: then the first write hears EPIPE (Linux, tcp_reset() in CLOSE_WAIT).
    def _write_failed(self, leg: Leg, error: OSError, now: float) -> None:
        tunnel, peer = leg.tunnel, leg.peer
        leg.discard = True
        if not isinstance(error, BrokenPipeError):
            peer.broken = why_broken(error)
        if tunnel.closer is None:
            tunnel.closer = peer.side
            tunnel.last = now
            self._expect(tunnel)
        self._drain(leg, now)

    def _watch(self, leg: Leg) -> None:
        wanted = leg.wanted()
        if wanted == leg.mask or leg.tunnel.result is not None:
            return
        if not wanted:
            self._epoll.unregister(leg.fd)
        elif leg.mask:
            self._epoll.modify(leg.fd, wanted)
        else:
            self._epoll.register(leg.fd, wanted)
        leg.mask = wanted


# splice(2) stops in front of urgent data (RFC 6093) for ever, though the socket stays readable; recv(2) goes on. Only
# that one byte goes through our memory: who is killed between these two calls loses what is there.
def _copy(sock: socket.socket, pipe: Pipe) -> int:
    if not any(fcntl.ioctl(sock, _SIOCATMARK, bytes(4))):
        raise BlockingIOError
    return os.write(pipe.write_fd, sock.recv(1))


def _has_room(leg: Leg) -> bool:
    poll = select.poll()
    poll.register(leg.fd, select.POLLOUT)
    return bool(poll.poll(0))
