"""Frames over TLS at the pace of speech: each tunnel sends at a fixed interval, and has each frame back.

There are no latencies: most of what a client would see of them is its own work, encryption in Python.
"""

from __future__ import annotations

import select
import ssl
import time
from collections.abc import Callable

from bench.traffic.dial import open_tunnels
from bench.traffic.echo import Closed, Mismatch
from bench.traffic.load import Load
from bench.traffic.outcome import Outcome
from bench.traffic.priority import before_others, punctual
from bench.traffic.wire import frame_parts

_GRACE_SECONDS = 2.0  # seconds to wait for the last echoes
_POLL_INTERVAL = 0.01  # seconds between checks for them
_LATE_SECONDS = 0.001  # seconds
_BATCH = 32  # echoes between two frames
_MOST = 16_384  # bytes of a record


def prepare(load: Load) -> Callable[[], Outcome]:
    """Open the tunnels, and return a function that runs the load.

    Raises:
        DialFailed: see there.
    """
    return TlsFrames(load).run


class _Tunnel:
    __slots__ = ("came", "part", "sent", "sock")

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self.sent = self.came = 0  # frames
        self.part = b""  # of the next one


class TlsFrames:
    """Tunnels, each with its own phase; frame k is sent by tunnel k % N, as in `even`."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._outcome = Outcome(late=0)
        self._poll = select.epoll()
        self._start, self._rest = frame_parts(load.size)
        opened = open_tunnels(load.address, load.targets, load.tunnels, tls=True)
        self._tunnels = [_Tunnel(sock) for sock in opened if isinstance(sock, ssl.SSLSocket)]
        self._live = {tunnel.sock.fileno(): tunnel for tunnel in self._tunnels}
        for fd in self._live:
            self._poll.register(fd, select.EPOLLIN)

    def run(self) -> Outcome:
        """Send all frames, and wait for their echoes."""
        outcome, clock = self._outcome, time.perf_counter
        outcome.priority = before_others()
        punctual()
        begun, cpu = clock(), time.process_time()
        outcome.late = self._send_all(begun, 1 / (self._load.rate * self._load.tunnels))
        outcome.seconds, outcome.cpu = clock() - begun, time.process_time() - cpu
        until = clock() + _GRACE_SECONDS
        while clock() < until and any(one.came < one.sent for one in self._live.values()):
            self._take(_POLL_INTERVAL)
        outcome.sent = sum(one.sent for one in self._tunnels)
        outcome.count = 2 * sum(one.came for one in self._tunnels)
        outcome.missing = sum(one.sent - one.came for one in self._live.values())
        return outcome

    def _send_all(self, begun: float, gap: float) -> int:
        clock, late = time.perf_counter, 0
        for number in range(round(self._load.seconds * self._load.rate) * len(self._tunnels)):
            remaining = begun + number * gap - clock()
            if remaining > 0:
                time.sleep(remaining)
            elif remaining < -_LATE_SECONDS:
                late += 1
            tunnel = self._tunnels[number % len(self._tunnels)]
            if tunnel.sock.fileno() in self._live:
                try:
                    tunnel.sock.send(self._frame(tunnel.sent))
                    tunnel.sent += 1
                except OSError as error:
                    self._lost(tunnel, error)
            self._take(0)
        return late

    def _frame(self, number: int) -> bytes:
        return self._start + number.to_bytes(8, "big") + self._rest

    def _take(self, seconds: float) -> None:
        for fd, _ in self._poll.poll(seconds, _BATCH):
            tunnel = self._live[fd]
            try:
                self._judge(tunnel, tunnel.sock.recv(_MOST))
            except ssl.SSLWantReadError:
                continue
            except (OSError, Mismatch) as error:
                self._lost(tunnel, error)

    def _judge(self, tunnel: _Tunnel, data: bytes) -> None:
        if not data:
            raise Closed
        data = tunnel.part + data
        while data:
            frame = self._frame(tunnel.came)
            if not data.startswith(frame[: len(data)]):
                raise Mismatch("an echo is not what was sent")
            if len(data) < len(frame):
                break
            tunnel.came += 1
            data = data[len(frame) :]
        tunnel.part = data

    def _lost(self, tunnel: _Tunnel, error: Exception) -> None:
        self._outcome.lost(error)
        self._poll.unregister(tunnel.sock)
        del self._live[tunnel.sock.fileno()]
