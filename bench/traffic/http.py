"""Plain requests over kept connections: each client sends its next request after its response."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from bench.traffic.dial import Address, DialFailed
from bench.traffic.echo import Mismatch
from bench.traffic.load import Load
from bench.traffic.outcome import Outcome
from bench.traffic.wire import BODY, HEAD_END, get_head

_GRACE_SECONDS = 1.0  # seconds to wait for the last responses
_POLL_INTERVAL = 0.1  # seconds between checks of the time when nothing arrives
_TIMEOUT = 10.0  # time limit of a connection attempt, seconds
_MOST = 4096
_BATCH = 256  # events


def prepare(load: Load) -> Callable[[], Outcome]:
    """Connect, and return a function that runs the load.

    Raises:
        DialFailed: a connection can't be opened.
    """
    return Requests(load).run


class _Client:
    __slots__ = ("answers", "head", "part", "sent_at", "sock")

    def __init__(self, address: Address, head: bytes) -> None:
        self.head = head
        self.part = b""
        self.sent_at = 0.0
        self.connect(address)

    def connect(self, address: Address) -> None:
        self.sock = socket.create_connection(address, timeout=_TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.answers = 0

    def answer(self) -> bool:
        """Handle bytes that have arrived; True if the response is complete and correct.

        Raises:
            OSError: the connection can't be used any more, or the response is not a 200.
            Mismatch: the body is not the pod's.
        """
        came = self.sock.recv(_MOST)
        data = self.part + came
        body = data.find(HEAD_END) + 4
        # The body is compared once the head is complete, whatever length the head gives: a different body is an error.
        if data.endswith(BODY) and len(data) == body + len(BODY) and data.startswith(b"HTTP/1.1 200 "):
            self.part = b""
            self.answers += 1
            return True
        if not came:
            raise ConnectionResetError("a connection was closed before its answer")
        if body > len(HEAD_END) - 1 and not data.startswith(b"HTTP/1.1 200 "):
            raise ConnectionAbortedError(f"no 200, but {data.partition(HEAD_END[:2])[0].decode('latin-1')!r}")
        if body > len(HEAD_END) - 1 and not BODY.startswith(data[body:]):
            raise Mismatch("a body is not the pod's")
        self.part = data
        return False


class Requests:
    """Clients in a closed loop."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._outcome = Outcome()
        self._poll = select.epoll()
        self._clients: dict[int, _Client] = {}
        for number in range(load.clients):
            try:
                client = _Client(load.address, get_head(load.targets[number % len(load.targets)]))
            except OSError as error:
                host, port = load.address
                raise DialFailed(f"client {number + 1} of {load.clients} at {host}:{port}: {error}") from error
            self._watch(client)

    def run(self) -> Outcome:
        """Send requests until the time is over."""
        outcome, clock = self._outcome, time.perf_counter
        begun, cpu = clock(), time.process_time()
        for client in list(self._clients.values()):
            self._ask(client)
        self._loop(begun + self._load.seconds)
        outcome.seconds, outcome.cpu = clock() - begun, time.process_time() - cpu
        outcome.count = len(outcome.latencies)
        self._settle(clock() + _GRACE_SECONDS)
        return outcome

    def _loop(self, until: float) -> None:
        clock, wait, clients, answered = time.perf_counter, self._poll.poll, self._clients, self._answered
        tell, ask = self._outcome.latencies.append, self._ask
        while clients and clock() < until:
            for fd, _ in wait(_POLL_INTERVAL, _BATCH):
                client = clients[fd]
                if answered(client):
                    tell(clock() - client.sent_at)
                    ask(client)

    # The last responses are not counted, but a request that is never answered is detected.
    def _settle(self, until: float) -> None:
        owing = set(self._clients.values())
        while owing and time.perf_counter() < until:
            for fd, _ in self._poll.poll(_POLL_INTERVAL):
                client = self._clients[fd]
                if self._answered(client):
                    self._forget(client)
                owing &= set(self._clients.values())
        for _ in owing:
            self._outcome.fail(f"a request was not answered within {_GRACE_SECONDS:g} s")

    def _ask(self, client: _Client) -> None:
        client.sent_at = time.perf_counter()
        try:
            client.sock.send(client.head)
        except OSError:
            self._again(client)

    def _answered(self, client: _Client) -> bool:
        try:
            if not client.answer():
                return False
        except ConnectionResetError as error:
            if client.part or not client.answers:
                self._outcome.fail(error)
            self._again(client)
        except OSError as error:
            self._outcome.fail(error)
            self._again(client)
        except Mismatch as error:
            self._outcome.mismatch(str(error))
            self._forget(client)
        else:
            return True
        return False

    # A server may close a kept connection between two responses at any time (RFC 9112 §9.5): the request is then sent
    # again on a new connection, and its time continues.
    def _again(self, client: _Client) -> None:
        self._forget(client)
        client.part = b""
        try:
            client.connect(self._load.address)
            client.sock.send(client.head)
        except OSError as error:
            self._outcome.fail(error)
        else:
            self._watch(client)

    def _watch(self, client: _Client) -> None:
        self._clients[client.sock.fileno()] = client
        self._poll.register(client.sock, select.EPOLLIN)

    def _forget(self, client: _Client) -> None:
        del self._clients[client.sock.fileno()]
        client.sock.close()
