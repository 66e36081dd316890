"""One worker process under orders of a supervisor that is the test: a real process, and nothing else of an edge."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from splicer.ipc import wire
from splicer.ipc.arguments import Place, WorkerArguments
from splicer.ipc.board import Board, Column
from splicer.ipc.codec import to_json
from splicer.ipc.messages import (
    Drain,
    Draining,
    Imported,
    Prepare,
    Prepared,
    Retire,
    Serve,
    Serving,
    Stop,
    WorkerOrder,
    WorkerReport,
)
from splicer.relay.state import MOVER
from splicer.vault.protocol import channel

_R = TypeVar("_R", bound=WorkerReport)
_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT = 60.0  # seconds for what should happen on a busy machine
_TEXT = """
[server]
listen = "127.0.0.1:0"
[log]
format = "json"
[[routes]]
name = "all"
prefix = "/"
respond = { status = 200, body = "it works\\n" }
"""


class Supervisor:
    """It starts one worker, and tells it what to do."""

    def __init__(self) -> None:
        self.board = Board()
        self._ours, its = channel()
        with its:
            fds = [its.fileno(), self.board.fd]
            arguments = WorkerArguments(Place(its.fileno(), self.board.fd, row=1, version=wire.VERSION), "routing.toml")
            self.process = subprocess.Popen(
                [sys.executable, "-m", "splicer.worker", to_json(arguments)],
                cwd=_ROOT,
                pass_fds=fds,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)

    def tell(self, order: WorkerOrder, *fds: int) -> None:
        """Give an order."""
        wire.send(self._ours, order, fds)

    def hears(self, report: type[_R]) -> _R:
        """Wait for a report."""
        assert select.select([self._ours], [], [], _TIMEOUT)[0], f"it has not {report.KIND}"
        heard = wire.receive(self._ours, WorkerReport)
        assert heard is not None, self.rest()
        assert isinstance(heard.message, report)
        return heard.message

    def prepare(self) -> None:
        """Let it be imported, and prepared."""
        assert self.hears(Imported).mover == MOVER
        text = wire.text_file(_TEXT)
        self.tell(Prepare(request=1), text)
        os.close(text)
        self.hears(Prepared)

    def serve(self) -> None:
        """Let it serve."""
        self.prepare()
        self.order_to_serve()
        self.hears(Serving)

    def order_to_serve(self) -> None:
        order = Serve(request=2, slot=1, slots=1, draining=False, listeners={"listen": 1})
        self.tell(order, self.listener.fileno())

    def leave(self) -> None:
        """Be gone."""
        self._ours.close()

    def sees_it_leave(self) -> None:
        """Wait until it takes nothing new."""
        latest = time.monotonic() + _TIMEOUT
        while self.board.row(1)[Column.LISTENING]:
            assert time.monotonic() < latest, "it goes on"
            time.sleep(0.005)

    @property
    def listeners(self) -> int:
        """How many descriptors of the listening socket it has."""
        inode = f"socket:[{os.fstat(self.listener.fileno()).st_ino}]"
        found = 0
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it is closed by now
                found += str(link.readlink()) == inode
        return found

    def client(self) -> socket.socket:
        """A client that has connected."""
        return socket.create_connection(self.listener.getsockname(), _TIMEOUT)

    def rest(self) -> tuple[int, list[dict[str, Any]], str]:
        """How it ended: its exit code, the lines that it logged, and its stderr."""
        out, err = self.process.communicate(timeout=_TIMEOUT)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._ours.close()
        self.listener.close()
        self.board.close()


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.close()


def _ask(client: socket.socket) -> bytes:
    client.sendall(b"GET / HTTP/1.1\r\nHost: edge.test\r\n\r\n")
    answer = b""
    while not answer.endswith(b"it works\n"):
        part = client.recv(1000)
        assert part, answer
        answer += part
    return answer


def test_it_is_prepared_serves_and_ends_when_another_has_its_place(supervisor: Supervisor) -> None:
    supervisor.serve()
    row = supervisor.board.row(1)
    assert (row[Column.SLOT], row[Column.LISTENING]) == (1, 1)
    with supervisor.client() as client:
        assert _ask(client).startswith(b"HTTP/1.1 200 ")
        supervisor.tell(Retire())
        supervisor.sees_it_leave()
        assert b"onnection: close" in _ask(client), "its last request is answered, and the client is told"
    code, lines, err = supervisor.rest()
    assert (code, err) == (0, "")
    assert [line["event"] for line in lines] == ["exchange", "exchange"]
    assert row[Column.LISTENING] == 0


# It may have calls: what can't be right costs none of them, nor a descriptor.
def test_an_order_that_does_not_fit_what_it_is_is_refused(supervisor: Supervisor) -> None:
    supervisor.serve()
    supervisor.order_to_serve()
    supervisor.tell(Drain(request=3))
    supervisor.hears(Draining)
    assert supervisor.listeners == 1
    with supervisor.client() as client:
        _ask(client)
    supervisor.tell(Stop())
    code, lines, _ = supervisor.rest()
    assert code == 0
    [line] = [line for line in lines if line["event"] == "order_refused"]
    assert (line["level"], line["order"]) == ("error", "serve")
    assert line["error"] == "a worker that is serving can't be serving next"


# Without calls a bug of ours ends it, and another is started.
def test_one_that_has_no_configuration_can_not_serve(supervisor: Supervisor) -> None:
    supervisor.hears(Imported)
    supervisor.order_to_serve()
    code, _, err = supervisor.rest()
    assert code == 1
    assert err.rstrip().endswith("a worker that is imported can't be serving next")


def test_a_spare_whose_supervisor_is_gone_has_nothing_to_finish(supervisor: Supervisor) -> None:
    supervisor.prepare()
    supervisor.leave()
    assert supervisor.rest() == (0, [], "")


def test_a_worker_whose_supervisor_is_gone_answers_who_is_there_and_ends(supervisor: Supervisor) -> None:
    supervisor.serve()
    with supervisor.client() as client:
        _ask(client)
        supervisor.leave()
        supervisor.sees_it_leave()
        assert b"onnection: close" in _ask(client)
    code, lines, _ = supervisor.rest()
    assert code == 0
    assert [line["event"] for line in lines] == ["exchange", "supervisor_lost", "exchange"]
