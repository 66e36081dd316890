"""The admin process as its supervisor has it: a board, a channel, listeners, and orders."""

from __future__ import annotations

import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest

from splicer.ipc import wire
from splicer.ipc.arguments import AdminArguments, Place
from splicer.ipc.board import Board
from splicer.ipc.facts import EdgeFacts
from splicer.ipc.messages import AdminOrder, AdminReport, Config, IntroduceWorker, Ready, ServeAdmin, Serving
from splicer.net.bind import bind
from splicer.supervisor import launch
from splicer.vault.protocol import channel
from tests.admin.counting import Start, counters

TIMEOUT = 20.0  # seconds
OWN = 7  # its row


class Admin:
    """A `python -m splicer.admin`."""

    def __init__(self) -> None:
        self.board = Board()
        self.started = time.monotonic()
        self.listener = bind("127.0.0.1", 0)
        self.address: tuple[str, int] = self.listener.getsockname()
        self.for_scraper = bind("127.0.0.1", 0)
        self.control, its = channel()
        arguments = AdminArguments(Place(its.fileno(), self.board.fd, OWN), "routing.toml", "json")
        self.pid = launch.spawn("splicer.admin", arguments, [its.fileno(), self.board.fd])
        its.close()
        self.status: int | None = None

    def tell(self, order: AdminOrder, *fds: int) -> None:
        wire.send(self.control, order, fds)

    def hear(self) -> AdminReport | None:
        """What it says next; None when it says no more."""
        assert select.select([self.control], [], [], TIMEOUT)[0], "it says nothing"
        heard = wire.receive(self.control, AdminReport)
        return None if heard is None else heard.message

    def serve(self) -> None:
        order = ServeAdmin(7, EdgeFacts(workers=2), {"admin": 1, "metrics": 1})
        self.tell(order, self.listener.fileno(), self.for_scraper.fileno())
        assert self.hear() == Serving(7)

    def configure(self, text: str) -> None:
        """Put a configuration in force."""
        fd = wire.text_file(text)
        self.tell(Config(), fd)
        os.close(fd)

    def introduce(self, slot: int, pid: int) -> socket.socket:
        """Our end of a worker's channel."""
        ours, its = channel()
        self.tell(IntroduceWorker(slot, pid), its.fileno())
        its.close()
        return ours

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        end = time.monotonic() + TIMEOUT
        while self.status is None:
            assert time.monotonic() < end, "it does not end"
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        return self.status

    # The end of the channel lets the process end by itself, and write its last lines; if it does not, it is killed.
    def close(self) -> None:
        self.control.close()
        try:
            self.wait()
        finally:
            if self.status is None:
                os.kill(self.pid, signal.SIGKILL)
                self.wait()
            self.listener.close()
            self.for_scraper.close()
            self.board.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=TIMEOUT)

    def ask(
        self, method: str, target: str, *, of: tuple[str, int] | None = None, **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        """One request on a connection of its own; `Host=` takes the place of the address."""
        connection = HTTPConnection(*(of or self.address), timeout=TIMEOUT)
        try:
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


@contextmanager
def running(*, logs: str = "") -> Iterator[Admin]:
    """One that is ready, and must have nothing to say in its log nor on stderr but one line that holds `logs`."""
    with tempfile.TemporaryFile() as noise:
        with _instead_of_ours(noise.fileno()):
            admin = Admin()
        try:
            assert admin.hear() == Ready()
            yield admin
        finally:
            admin.close()
        noise.seek(0)
        said = noise.read().decode()
        assert logs in said
        assert said.count("\n") == bool(logs)


# posix_spawn hands on what this process has.
@contextmanager
def _instead_of_ours(fd: int) -> Iterator[None]:
    kept = [os.dup(1), os.dup(2)]
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    try:
        yield
    finally:
        for own, copy in enumerate(kept, start=1):
            os.dup2(copy, own)
            os.close(copy)


@pytest.fixture
def admin() -> Iterator[Admin]:
    """One that awaits its orders."""
    with running() as admin:
        yield admin


@pytest.fixture
def serving(admin: Admin) -> Admin:
    """One that serves."""
    admin.serve()
    return admin


@pytest.fixture(scope="module")
def shared() -> Iterator[Admin]:
    """One that serves several tests: no request may leave a trace in it."""
    with running() as admin:
        admin.serve()
        yield admin


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts processes that count."""
    with counters() as begin:
        yield begin
