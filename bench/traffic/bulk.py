"""Long messages: each tunnel always has one under way, there and back."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from bench.traffic.dial import open_tunnels
from bench.traffic.echo import Closed, Mismatch
from bench.traffic.load import Load
from bench.traffic.outcome import Outcome
from bench.traffic.wire import frame_parts

_GRACE_SECONDS = 1.0  # seconds to wait for the last messages
_POLL_INTERVAL = 0.1  # seconds between checks of the time when nothing arrives
_SAMPLE = 64  # bytes at either end of a message: its head, its numbers
_WHOLE = 16  # one of this many messages is compared in full


def prepare(load: Load) -> Callable[[], Outcome]:
    """Open the tunnels, and return a function that runs the load.

    Raises:
        DialFailed: see there.
    """
    return Bulk(load).run


# A message has its number after its head and at its end. Of the echoes, all bytes are compared in the first message of
# a tunnel, and both ends in every other: lost, doubled or misplaced bytes shift the end.
class _Tunnel:
    """A tunnel with its message."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        start, rest = frame_parts(size)
        self.sock = sock
        self._message = bytearray(start + bytes(8) + rest)
        self._echo = bytearray(size)
        self._sending, self._coming = memoryview(self._message), memoryview(self._echo)
        self._number = len(start)
        self._sent = self._came = self._done = 0

    def send(self) -> None:
        """Send as much of the message as the socket takes.

        Raises:
            OSError: the tunnel is lost.
        """
        while self._sent < len(self._message):
            try:
                self._sent += self.sock.send(self._sending[self._sent :])
            except BlockingIOError:
                return

    def take(self) -> bool:
        """Read what has arrived of the echo; True if it is complete and correct.

        Raises:
            OSError: the tunnel is lost.
            Mismatch: the echo differs from the message.
        """
        while self._came < len(self._echo):
            try:
                count = self.sock.recv_into(self._coming[self._came :])
            except BlockingIOError:
                return False
            if not count:
                raise Closed
            self._came += count
        message, echo = self._message, self._echo
        same = echo[:_SAMPLE] == message[:_SAMPLE] and echo[-_SAMPLE:] == message[-_SAMPLE:]
        if not same or (not self._done % _WHOLE and echo != message):
            raise Mismatch("a message came back changed")
        return True

    def next(self, number: int) -> None:
        """Turn the finished message into the next one."""
        self._done += 1
        self._sent = self._came = 0
        marks = number.to_bytes(8, "big")
        self._message[self._number : self._number + 8] = marks
        self._message[-8:] = marks


class Bulk:
    """Tunnels in a closed loop."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._outcome = Outcome()
        self._poll = select.epoll()
        self._tunnels = {
            sock.fileno(): _Tunnel(sock, load.size) for sock in open_tunnels(load.address, load.targets, load.tunnels)
        }

    def run(self) -> Outcome:
        """Exchange as many messages as possible in the time."""
        outcome, clock = self._outcome, time.perf_counter
        begun, cpu = clock(), time.process_time()
        for fd in self._tunnels:
            self._poll.register(fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        self._loop(begun + self._load.seconds)
        outcome.seconds, outcome.cpu = clock() - begun, time.process_time() - cpu
        outcome.bytes = outcome.count * self._load.size
        self._settle(clock() + _GRACE_SECONDS)
        return outcome

    # Events are edge-triggered: on each event, send and read until the socket would block.
    def _loop(self, until: float) -> None:
        number = 0
        while self._tunnels and time.perf_counter() < until:
            for fd, _ in self._poll.poll(_POLL_INTERVAL):
                tunnel = self._tunnels[fd]
                try:
                    tunnel.send()
                    if tunnel.take():
                        self._outcome.count += 1
                        number += 1
                        tunnel.next(number)
                        tunnel.send()
                except (OSError, Mismatch) as error:
                    self._lost(fd, error)

    # The last messages are not counted, but a lost one is detected.
    def _settle(self, until: float) -> None:
        owed = set(self._tunnels)
        while owed and time.perf_counter() < until:
            for fd, _ in self._poll.poll(_POLL_INTERVAL):
                try:
                    self._tunnels[fd].send()
                    if self._tunnels[fd].take():
                        owed.discard(fd)
                except (OSError, Mismatch) as error:
                    self._lost(fd, error)
                    owed.discard(fd)
        for _ in owed:
            self._outcome.fail(f"a message did not come back within {_GRACE_SECONDS:g} s")

    def _lost(self, fd: int, error: Exception) -> None:
        self._outcome.lost(error)
        self._poll.unregister(fd)
        del self._tunnels[fd]
