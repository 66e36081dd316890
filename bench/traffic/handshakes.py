"""New calls: each client hangs up at the 101."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from math import ceil

from bench.traffic.dial import fresh_key, open_tunnels
from bench.traffic.load import Load
from bench.traffic.outcome import Outcome
from bench.traffic.priority import punctual
from bench.traffic.wire import HEAD_END, accept_key, fault_of_101, upgrade_head

_GRACE_SECONDS = 1.0  # seconds to wait for the last responses
_POLL_INTERVAL = 0.1  # seconds between checks of the time when nothing arrives
_HEADS = 512  # least number of heads and keys; made before the run, used in turn


def prepare(load: Load) -> Callable[[], Outcome]:
    """Check that one call succeeds, and return a function that runs the load.

    Raises:
        DialFailed: the call fails.
    """
    for tunnel in open_tunnels(load.address, load.targets, len(load.targets)):
        tunnel.close()
    return Handshakes(load).run


class Call:
    """A call under way."""

    __slots__ = ("accept", "came", "dialled", "sock", "unsent")

    def __init__(self, sock: socket.socket, dialled: float, unsent: bytes, accept: bytes) -> None:
        self.sock = sock
        self.dialled = dialled
        self.unsent = unsent
        self.accept = accept
        self.came = b""


class Handshakes:
    """Short calls, in a closed loop of some clients, or at a fixed rate."""

    LONGEST_HEAD = 32768

    def __init__(self, load: Load) -> None:
        self._load = load
        self._outcome = Outcome()
        self._poll = select.epoll()  # opened before any call: select(2) takes no descriptor above 1023
        rounds = ceil(_HEADS / len(load.targets))
        keyed = [(target, fresh_key()) for target in load.targets * rounds]
        self._heads = [(upgrade_head(target, key), accept_key(key)) for target, key in keyed]
        self._dialled = 0
        self._calls: dict[int, Call] = {}

    def run(self) -> Outcome:
        """Call again and again until the time is over."""
        outcome, clock = self._outcome, time.perf_counter
        begun, cpu = clock(), time.process_time()
        if self._load.rate:
            punctual()
            self._open_loop(begun)
        else:
            self._closed_loop(begun + self._load.seconds)
        outcome.seconds, outcome.cpu = clock() - begun, time.process_time() - cpu
        if self._load.rate:
            self._settle(clock() + _GRACE_SECONDS)
            outcome.count = len(outcome.latencies)
        else:
            outcome.count = len(outcome.latencies)
            self._settle(clock() + _GRACE_SECONDS)
        return outcome

    def _closed_loop(self, until: float) -> None:
        clock, poll, step, dial = time.perf_counter, self._poll.poll, self._step, self._dial
        missing = self._load.clients
        while clock() < until:
            while missing and dial():
                missing -= 1
            for fd, _ in poll(_POLL_INTERVAL / 10 if missing else _POLL_INTERVAL):
                missing += step(fd)

    def _open_loop(self, begun: float) -> None:
        clock, poll, step, sleep = time.perf_counter, self._poll.poll, self._step, select.select
        watched, nothing, gap = [self._poll.fileno()], (), 1 / self._load.rate
        for number in range(round(self._load.seconds * self._load.rate)):
            while (remaining := begun + number * gap - clock()) > 0:
                if sleep(watched, nothing, nothing, remaining)[0]:
                    for fd, _ in poll(0):
                        step(fd)
            self._dial()
            for fd, _ in poll(0):  # also when there is no time left to sleep
                step(fd)

    def connect(self, head: bytes) -> tuple[socket.socket, bytes]:
        """A connection of a new call, and what is still to be sent on it.

        Raises:
            OSError: it failed at once.
        """
        sock = socket.socket()
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(BlockingIOError):
                sock.connect(self._load.address)
            with contextlib.suppress(BlockingIOError):  # on loopback the connection is mostly established by now
                sock.send(head)
                head = b""
        except OSError:
            sock.close()
            raise
        self._poll.register(sock, select.EPOLLOUT if head else select.EPOLLIN)
        return sock, head

    def advance(self, call: Call) -> bytes | None:
        """Handle an event of a call: what has come, or None.

        Raises:
            OSError: the call has failed.
        """
        if call.unsent:
            call.sock.send(call.unsent)
            call.unsent = b""
            self._poll.modify(call.sock, select.EPOLLIN)
            return None
        return call.sock.recv(self.LONGEST_HEAD)

    def _dial(self) -> bool:
        """Begin a call; False if it failed at once."""
        head, accept = self._heads[self._dialled % len(self._heads)]
        self._dialled += 1
        begun = time.perf_counter()
        try:
            sock, unsent = self.connect(head)
        except OSError as error:
            self._outcome.fail(error)
            return False
        self._calls[sock.fileno()] = Call(sock, begun, unsent, accept)
        return True

    def _step(self, fd: int) -> bool:
        """Handle an event; True if the call is over."""
        call = self._calls[fd]
        try:
            data = self.advance(call)
            if data is None:
                return False
            if not data:
                raise ConnectionError("a call was closed before its 101")
        except OSError as error:
            self._outcome.fail(error)
        else:
            call.came += data
            if HEAD_END not in call.came:
                return False
            self._judge(call)
        del self._calls[fd]
        call.sock.close()
        return True

    def _judge(self, call: Call) -> None:
        fault = fault_of_101(call.came, call.accept)
        if not fault and call.came.endswith(HEAD_END):
            self._outcome.latencies.append(time.perf_counter() - call.dialled)
        elif call.came.startswith(b"HTTP/1.1 101 "):
            self._outcome.mismatch(fault or "bytes behind a 101")
        else:
            self._outcome.fail(fault)

    # A call that is never answered is detected. At a fixed rate all calls are counted, so that the last ones are not
    # missing; in a closed loop, only those that were answered in the window.
    def _settle(self, until: float) -> None:
        while self._calls and time.perf_counter() < until:
            for fd, _ in self._poll.poll(_POLL_INTERVAL):
                self._step(fd)
        for _ in self._calls:
            self._outcome.fail(f"a call was not answered within {_GRACE_SECONDS:g} s")
