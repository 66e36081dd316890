"""Processes that count as workers do: real ones, with a file each, that can be killed.

with counters() as start:
    worker = start(directory, row=1)
    worker.tell("closed", to_pod=5, to_client=7)
    worker.kill()

They are forked off one that has imported all there is: as many are needed as a law wants.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from splicer.config.load import load
from splicer.model import Endpoint
from splicer.observe.families import keep_in
from splicer.observe.metrics import Metrics
from splicer.record import AttemptOutcome, Record
from splicer.vault.protocol import channel

_TIMEOUT = 20.0  # seconds

Start = Callable[[Path | None, int], "Counter"]


@frozen
class Counter:
    """One of them, as the test has it."""

    pid: int
    _sock: socket.socket

    def tell(self, event: str, **more: Any) -> None:
        """Something happens in it; it has counted that when this returns."""
        _send(self._sock, {"do": event, **more})
        assert _next(self._sock) is not None

    def kill(self) -> None:
        """SIGKILL; it is dead when this returns."""
        os.kill(self.pid, signal.SIGKILL)
        assert _next(self._sock) is None
        self._sock.close()


@contextmanager
def counters() -> Iterator[Start]:
    """What starts them; all end with it."""
    ours, its = channel()
    line = [sys.executable, "-m", "tests.admin.counting", str(its.fileno())]
    root = Path(__file__).parents[2]
    alive: list[socket.socket] = []

    def start(directory: Path | None, row: int) -> Counter:
        one, other = channel()
        alive.append(one)
        with other:
            _send(ours, {"directory": directory and str(directory), "row": row}, other.fileno())
        words = _next(one)
        assert words is not None
        return Counter(words["pid"], one)

    with subprocess.Popen(line, pass_fds=[its.fileno()], cwd=root) as parent:
        its.close()
        try:
            yield start
        finally:
            for sock in (*alive, ours):
                sock.close()
        assert parent.wait(_TIMEOUT) == 0


def _send(sock: socket.socket, words: dict[str, Any], *fds: int) -> None:
    socket.send_fds(sock, [json.dumps(words).encode()], fds)


def _receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    data, fds, _, _ = socket.recv_fds(sock, 1 << 16, 1)
    return (json.loads(data), fds) if data else None


def _next(sock: socket.socket) -> dict[str, Any] | None:
    """What the other side says next; None when it is gone."""
    while True:
        try:
            heard = _receive(sock)
        except BlockingIOError:
            assert select.select([sock], [], [], _TIMEOUT)[0], "it says nothing"
            continue
        except ConnectionResetError:
            return None
        return heard and heard[0]


def _main(fd: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.socket(fileno=fd) as parent:
        parent.setblocking(True)
        while (heard := _receive(parent)) is not None:
            words, [one] = heard
            if os.fork() == 0:
                parent.close()
                _count(words, socket.socket(fileno=one))
                os._exit(0)
            os.close(one)


def _count(words: dict[str, Any], sock: socket.socket) -> None:
    sock.setblocking(True)
    directory = words["directory"]
    keep_in(directory and Path(directory), words["row"])
    metrics = Metrics()
    _send(sock, {"pid": os.getpid()})
    while (heard := _receive(sock)) is not None:
        _take_in(metrics, **heard[0])
        _send(sock, {})


def _take_in(metrics: Metrics, *, do: str, **more: Any) -> None:
    match do:
        case "know":
            metrics.know(load(more["config"], environ={}).routes)
        case "opened":
            metrics.tunnel_opened(_record(**more))
        case "closed":
            metrics.tunnel_over(_record(**more))
        case "answered":
            metrics.exchange_ended(_answered(**more))
        case "late":
            metrics.late(more["seconds"])


def _record(pod: str = "pod-1", to_pod: int = 0, to_client: int = 0) -> Record:
    record = Record(id="a", client="127.0.0.1", started=0.0, route="call", method="GET", protocol="websocket")
    record.endpoint = Endpoint(pod, "127.0.0.11", 8000)
    record.attempts = [AttemptOutcome("pod", str(record.endpoint), pod=pod)]
    record.ended, record.to_pod, record.to_client = 1.0, to_pod, to_client
    record.closer, record.close_reason = "client", "eof"
    return record


def _answered(status: int, lasts: float) -> Record:
    record = Record(id="b", client="127.0.0.1", started=0.0, route="call", method="GET", status=status, ended=lasts)
    record.attempts = [AttemptOutcome("pod", failure=None if status < 500 else "connect_refused")]
    return record


if __name__ == "__main__":
    _main(int(sys.argv[1]))
