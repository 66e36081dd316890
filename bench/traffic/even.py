"""Frames at the pace of speech: each tunnel sends at a fixed interval, without waiting for echoes."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable

from bench.traffic.dial import open_tunnels
from bench.traffic.echo import Closed, Mismatch
from bench.traffic.ledger import Ledger
from bench.traffic.load import Load
from bench.traffic.outcome import Outcome
from bench.traffic.priority import before_others, punctual
from bench.traffic.wire import frame_parts

_GRACE_SECONDS = 1.0  # seconds to wait for the last echoes
_POLL_INTERVAL = 0.01  # seconds between checks for them
_LATE_SECONDS = 0.001  # seconds
_BATCH = 32  # echoes between two frames
_SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; its message has the same number: socket(7)
_TIMESPEC = struct.Struct("@ll")
_ROOM = socket.CMSG_SPACE(_TIMESPEC.size)


def prepare(load: Load) -> Callable[[], Outcome]:
    """Open the tunnels, and return a function that runs the load.

    Raises:
        DialFailed: see there.
    """
    return Pace(load).run


# Frame k is sent by tunnel k % N, and is due k/(N·rate) after the start: each tunnel keeps its pace, all are spread
# evenly over it, and what is due next is always the next number. A tunnel awaits its own k, k + N, k + 2N … in order.
#
# Echoes are read when a frame is sent, not when they arrive: the kernel has stamped their arrival, so the process wakes
# up once for a frame, not twice. (On a virtual machine a wake-up is most of the cost of a paced frame.)
class Pace:
    """Tunnels, each with its own phase."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._outcome = Outcome(late=0)
        self._poll = select.epoll()
        self._tunnels = open_tunnels(load.address, load.targets, load.tunnels)
        self._fds = [tunnel.fileno() for tunnel in self._tunnels]  # -1: lost
        self._index = {fd: index for index, fd in enumerate(self._fds)}  # of live tunnels
        self._receive = {tunnel.fileno(): tunnel.recvmsg for tunnel in self._tunnels}
        self._awaited = list(range(load.tunnels))
        self._parts: dict[int, bytes] = {}
        self._ledger = Ledger(round(load.seconds * load.rate), load.tunnels)
        self._start, self._rest = frame_parts(load.size)
        for tunnel in self._tunnels:
            tunnel.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._poll.register(tunnel, select.EPOLLIN)

    def run(self) -> Outcome:
        """Send all frames, and wait for their echoes."""
        outcome, clock = self._outcome, time.perf_counter
        outcome.priority = before_others()
        punctual()
        begun, cpu = clock(), time.process_time()
        outcome.sent = len(self._ledger.sent)
        outcome.late = self._send_all(begun, 1 / (self._load.rate * self._load.tunnels))
        outcome.seconds, outcome.cpu = clock() - begun, time.process_time() - cpu
        until = clock() + _GRACE_SECONDS
        while clock() < until and not self._ledger.settled(self._index.values()):
            self._take(self._poll.poll(_POLL_INTERVAL))
        self._ledger.tell(outcome, self._index.values(), 1 / self._load.rate)
        return outcome

    def _send_all(self, begun: float, gap: float) -> int:
        clock, now, sleep, write, poll = time.perf_counter, time.time_ns, time.sleep, os.write, self._poll.poll
        fds, sent, start, rest, take = self._fds, self._ledger.sent, self._start, self._rest, self._take
        tunnels, size = len(fds), self._load.size
        late = 0
        for number in range(len(sent)):
            remaining = begun + number * gap - clock()
            if remaining > 0:
                sleep(remaining)
            elif remaining < -_LATE_SECONDS:
                late += 1
            fd = fds[number % tunnels]
            if fd >= 0:
                sent[number] = now()
                try:
                    if write(fd, start + number.to_bytes(8, "big") + rest) < size:
                        raise BlockingIOError("a tunnel took no more")
                except OSError as error:
                    self._lost(fd, error)
            take(poll(0, _BATCH))
        return late

    def _take(self, events: list[tuple[int, int]]) -> None:
        receive, awaited, index, came, seconds = (
            self._receive,
            self._awaited,
            self._index,
            self._ledger.came,
            _TIMESPEC.unpack,
        )
        start, rest, tunnels, most = self._start, self._rest, len(self._fds), max(4096, 4 * self._load.size)
        for fd, _ in events:
            try:
                data, told, _, _ = receive[fd](most, _ROOM)
                tunnel = index[fd]
                number = awaited[tunnel]
                if told:
                    whole, part = seconds(told[0][2])
                    when = whole * 1_000_000_000 + part
                else:
                    when = time.time_ns()
                if data == start + number.to_bytes(8, "big") + rest:
                    came[number] = when
                    awaited[tunnel] = number + tunnels
                else:
                    self._pieces(fd, data, when)
            except (OSError, Mismatch) as error:
                self._lost(fd, error)

    def _pieces(self, fd: int, data: bytes, when: int) -> None:
        """Handle part of a frame, or several frames."""
        if not data:
            raise Closed
        data = self._parts.pop(fd, b"") + data
        tunnel = self._index[fd]
        for begin in range(0, len(data), self._load.size):
            number = self._awaited[tunnel]
            piece = data[begin : begin + self._load.size]
            frame = self._start + number.to_bytes(8, "big") + self._rest
            if not frame.startswith(piece):
                raise Mismatch("an echo is not what was sent")
            if piece != frame:
                self._parts[fd] = piece
                return
            self._ledger.came[number] = when
            self._awaited[tunnel] = number + len(self._fds)

    def _lost(self, fd: int, error: Exception) -> None:
        self._outcome.lost(error)
        self._poll.unregister(fd)
        self._fds[self._index.pop(fd)] = -1
