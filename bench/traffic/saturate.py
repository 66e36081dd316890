"""Frames at full speed: each tunnel sends its next frame when the last one has come back."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from bench.traffic.dial import open_tunnels
from bench.traffic.echo import Mismatch, Pieces
from bench.traffic.load import Load
from bench.traffic.outcome import Outcome
from bench.traffic.wire import frame_parts

_GRACE_SECONDS = 1.0  # seconds to wait for the last echoes
_POLL_INTERVAL = 0.1  # seconds between checks of the time when nothing arrives
_BATCH = 256  # events


def prepare(load: Load) -> Callable[[], Outcome]:
    """Open the tunnels, and return a function that runs the load.

    Raises:
        DialFailed: see there.
    """
    return Saturation(load).run


# `awaited` has the whole frame that each live tunnel waits for; a number is never used twice.
class Saturation:
    """Tunnels in a closed loop."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._poll = select.epoll()
        self._outcome = Outcome()
        self._pieces = Pieces()
        self._awaited: dict[int, bytes] = {}
        self._tunnels = open_tunnels(load.address, load.targets, load.tunnels)
        for tunnel in self._tunnels:
            self._poll.register(tunnel, select.EPOLLIN)

    def run(self) -> Outcome:
        """Exchange as many echoes as possible in the time."""
        outcome, clock = self._outcome, time.perf_counter
        begun, cpu = clock(), time.process_time()
        outcome.count = 2 * self._loop(begun + self._load.seconds)
        outcome.seconds, outcome.cpu = clock() - begun, time.process_time() - cpu
        self._settle(clock() + _GRACE_SECONDS)
        return outcome

    def _loop(self, until: float) -> int:
        read, write, clock, wait, awaited = os.read, os.write, time.perf_counter, self._poll.poll, self._awaited
        start, rest = frame_parts(self._load.size)
        whole, most = self._pieces.whole, max(4096, 2 * self._load.size)
        for number, tunnel in enumerate(self._tunnels):
            awaited[tunnel.fileno()] = frame = start + number.to_bytes(8, "big") + rest
            write(tunnel.fileno(), frame)
        first = number = len(self._tunnels)
        while awaited and clock() < until:
            for fd, _ in wait(_POLL_INTERVAL, _BATCH):
                try:
                    data = read(fd, most)
                    frame = awaited[fd]
                    if data == frame or whole(fd, data, frame):
                        awaited[fd] = frame = start + number.to_bytes(8, "big") + rest
                        number += 1
                        write(fd, frame)
                except (OSError, Mismatch) as error:
                    self._lost(fd, error)
        return number - first

    # The last echoes are checked too, so that a lost frame is detected.
    def _settle(self, until: float) -> None:
        owed = self._awaited.copy()
        while owed and time.perf_counter() < until:
            for fd, _ in self._poll.poll(_POLL_INTERVAL):
                try:
                    if self._pieces.whole(fd, os.read(fd, 1 << 20), self._awaited[fd]):
                        del owed[fd]
                except (OSError, Mismatch) as error:
                    self._lost(fd, error)
                    del owed[fd]
        for _ in owed:
            self._outcome.fail(f"an echo did not come within {_GRACE_SECONDS:g} s")

    def _lost(self, fd: int, error: Exception) -> None:
        self._outcome.lost(error)
        self._poll.unregister(fd)
        del self._awaited[fd]
