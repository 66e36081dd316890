"""Moving the bytes of one direction: from a socket into a pipe, and from the pipe into the other socket.

- A clean pipe is taken, filled by one splice and drained at once. Only when the destination is full does it
  stay *parked* with its direction: then that source is not read until the pipe is empty.
- The journal names the tunnel of a pipe's bytes before the pipe holds any: the next worker after a kill relies on it.
- If no pipe is clean, the reserve pipe serves directions whose peer has room, so it is never held for long.
- The epoll has sockets, never pipes. With a clean pipe EAGAIN from the fill means "no data".
- SPLICE_F_MORE is never set: small frames would wait 200 ms for more bytes.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
from typing import Any, Protocol

from splicer.relay.api import TunnelEnd
from splicer.relay.clean_pipes import CleanPipes
from splicer.relay.flush import unacknowledged
from splicer.relay.leaving import break_off, read_eof, why_ended, write_failed
from splicer.relay.news import News
from splicer.relay.pipes import Pipe
from splicer.relay.tunnel import WRITE, Leg, Tunnel

_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_SIOCATMARK = 0x8905  # <linux/sockios.h>: whether the next byte is the urgent one
_PAGE = 4096  # bytes that any clean pipe takes in one piece


class Legs(Protocol):
    """The live legs, by descriptor."""

    def get(self, fd: int, /) -> Any:
        """The leg with this descriptor, or None."""

    def __setitem__(self, fd: int, leg: Leg, /) -> None:
        """Add or replace one."""

    def __delitem__(self, fd: int, /) -> None:
        """Remove one."""


class Directions:
    """The directions of live tunnels, and the pipes for their bytes.

    Args:
        words: the journal.
    """

    def __init__(self, words: Any) -> None:
        self.pipes = CleanPipes()
        self.news = News()
        self._clean = self.pipes.clean
        self._words = words
        self._epoll = select.epoll()
        self._devnull = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._legs: Legs = {}
        self._starved: list[Leg] = []

    def close(self) -> None:
        """Close the mover's own descriptors."""
        self._epoll.close()
        os.close(self._devnull)

    # If one of the connections broke before, that is the tunnel's end, whatever `end` says; and bytes that were not
    # acknowledged by then have not arrived.
    def end(self, tunnel: Tunnel, end: TunnelEnd) -> None:
        """End a tunnel."""
        if (broken := tunnel.broken()) is not None:
            end = broken
            for leg in (tunnel.client, tunnel.pod):
                leg.peer.total -= unacknowledged(leg)
        tunnel.result = end
        self.drop(tunnel)
        self.news.ended(tunnel)

    def drop(self, tunnel: Tunnel) -> None:
        """Forget a tunnel: no byte of it moves any more, and its pipes are spent."""
        for leg in (tunnel.client, tunnel.pod):
            if leg.mask:
                self._epoll.unregister(leg.fd)
                leg.mask = 0
            if self._legs.get(leg.fd) is leg:
                del self._legs[leg.fd]
            if leg.pipe is not None:
                self.spend(leg)

    def spend(self, leg: Leg) -> None:
        """Have the pipe of a leg that is dropped closed: it holds bytes."""
        assert leg.pipe is not None  # noqa: S101 - the caller has looked
        self.pipes.spent.append(leg.pipe)
        self.news.pending = True
        leg.pipe, leg.parked = None, 0

    # ---- bytes ----

    # The usual way of a frame, in one function: the pipe stays in the pool, because it is clean again at once, and no
    # other code runs meanwhile. If bytes are left in it, it is taken out.
    def _pass(self, leg: Leg, pipe: Pipe, now: float) -> None:
        self._words[pipe.place] = leg.word
        try:
            count = os.splice(leg.fd, pipe.write_fd, pipe.size, flags=_FLAGS)
        except BlockingIOError:
            self._fill(leg, now)  # nothing there, or urgent data
            return
        except OSError as error:
            break_off(self, leg, leg.broken or why_ended(leg, error), now)
            return
        if not count:
            read_eof(self, leg, now)
            return
        try:
            sent = os.splice(pipe.read_fd, leg.peer.fd, count, flags=_FLAGS)
        except BaseException as error:
            leg.pipe, leg.parked = self._taken(), count
            if not isinstance(error, OSError):
                raise
            if not isinstance(error, BlockingIOError):
                write_failed(self, leg, error, now)
        else:
            leg.total += sent
            leg.tunnel.last = now
            if sent == count:
                return
            leg.pipe, leg.parked = self._taken(), count - sent
        if leg.parked:
            self.watch(leg)
            self.watch(leg.peer)

    # Invariant: bytes leave the source's socket only into a clean pipe, and stay in it until the peer has taken them.
    def _fill(self, leg: Leg, now: float) -> None:
        if self._clean:
            pipe = self._taken()
            most = pipe.size
        elif (last := self._make_do(leg)) is not None:
            pipe, most = last, _PAGE
        else:
            return
        self._words[pipe.place] = leg.word
        try:
            try:
                count = os.splice(leg.fd, pipe.write_fd, most, flags=_FLAGS)
            except BlockingIOError:
                count = _copy(leg.sock, pipe)
        except BlockingIOError:
            self._free(pipe)
            return
        except OSError as error:
            self._free(pipe)
            break_off(self, leg, leg.broken or why_ended(leg, error), now)
            return
        if not count:
            self._free(pipe)
            read_eof(self, leg, now)
            return
        leg.pipe, leg.parked = pipe, count
        self.drain(leg, now)
        if leg.parked:
            self.watch(leg)
            self.watch(leg.peer)

    # If no pipe is clean, there is still the reserve pipe. Only a direction whose peer has room for all its bytes gets
    # it, so one slow reader delays no other call. A direction that must wait for room, or for the reserve pipe, counts
    # as parked without a pipe: nothing has been read, and the fill is tried again.
    def _make_do(self, leg: Leg) -> Pipe | None:
        has_room = leg.discard or _has_room(leg.peer)
        pipe = self.pipes.take_last() if has_room else None
        self.news.pending = True  # more pipes are needed
        if pipe is None:
            leg.parked, leg.starved = 1, has_room
            if has_room:
                self._starved.append(leg)
            self.watch(leg)
            self.watch(leg.peer)
        return pipe

    def _taken(self) -> Pipe:
        self.news.pending = True  # more may be needed
        return self._clean.pop()

    def _free(self, pipe: Pipe) -> None:
        self.pipes.give(pipe)
        if self.pipes.spent:
            self.news.pending = True

    def drain(self, leg: Leg, now: float) -> None:
        """Send parked bytes to the peer, as many as it takes; if the leg is parked without a pipe, fill one."""
        pipe = leg.pipe
        if pipe is None:
            leg.parked = 0
            self._fill(leg, now)
            self.watch(leg)
            self.watch(leg.peer)
            return
        try:
            count = os.splice(pipe.read_fd, self._devnull if leg.discard else leg.peer.fd, leg.parked, flags=_FLAGS)
        except BlockingIOError:
            return
        except OSError as error:
            write_failed(self, leg, error, now)
            return
        leg.parked -= count
        if not leg.discard:
            leg.total += count
            leg.tunnel.last = now
        if not leg.parked:
            leg.pipe = None
            self._free(pipe)
            if leg.peer.mask & WRITE:
                self.watch(leg)
                self.watch(leg.peer)

    def watch(self, leg: Leg) -> None:
        """Register the events that this leg needs."""
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


# splice(2) never gets past urgent data (RFC 6093), though the socket stays readable; recv(2) does. Only that one byte
# goes through this process's memory: a kill between the two calls loses it.
def _copy(sock: socket.socket, pipe: Pipe) -> int:
    if sock.family == socket.AF_UNIX or not any(fcntl.ioctl(sock, _SIOCATMARK, bytes(4))):
        raise BlockingIOError
    return os.write(pipe.write_fd, sock.recv(1))


def _has_room(leg: Leg) -> bool:
    poll = select.poll()
    poll.register(leg.fd, select.POLLOUT)
    return bool(poll.poll(0))
