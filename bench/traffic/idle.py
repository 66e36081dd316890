"""Tunnels that are open and silent, except for one frame each."""

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

_GRACE_SECONDS = 5.0  # seconds to wait for echoes
_POLL_INTERVAL = 0.1  # seconds between checks of the time when nothing arrives
_AT_ONCE = 32  # frames under way at a time
_MOST = 65536


def prepare(load: Load) -> Callable[[], Outcome]:
    """Open the tunnels, and return a function that sends a frame through each.

    Raises:
        DialFailed: see there.
    """
    return Idle(load).run


class Idle:
    """Silent tunnels."""

    def __init__(self, load: Load) -> None:
        start, rest = frame_parts(load.size)
        self._tunnels = open_tunnels(load.address, load.targets, load.tunnels)
        self._frames = [
            (tunnel.fileno(), start + number.to_bytes(8, "big") + rest) for number, tunnel in enumerate(self._tunnels)
        ]
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Send one frame through each tunnel, and check its echo."""
        outcome, clock = self._outcome, time.perf_counter
        begun, cpu = clock(), time.process_time()
        for first in range(0, len(self._frames), _AT_ONCE):
            self._there_and_back(dict(self._frames[first : first + _AT_ONCE]), clock() + _GRACE_SECONDS)
        outcome.seconds, outcome.cpu = clock() - begun, time.process_time() - cpu
        return outcome

    def _there_and_back(self, awaited: dict[int, bytes], until: float) -> None:
        pieces = Pieces()
        with select.epoll() as poll:
            for fd, frame in list(awaited.items()):
                poll.register(fd, select.EPOLLIN)
                try:
                    os.write(fd, frame)
                except OSError as error:
                    self._outcome.lost(error)
                    poll.unregister(fd)
                    del awaited[fd]
            while awaited and time.perf_counter() < until:
                for fd, _ in poll.poll(_POLL_INTERVAL):
                    try:
                        if not pieces.whole(fd, os.read(fd, _MOST), awaited[fd]):
                            continue
                        self._outcome.count += 1
                    except (OSError, Mismatch) as error:
                        self._outcome.lost(error)
                    poll.unregister(fd)
                    del awaited[fd]
        for _ in awaited:
            self._outcome.fail(f"an echo did not come within {_GRACE_SECONDS:g} s")
