"""The admin process as its supervisor has it: a board, a channel, listeners, and orders."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest

from splicer.ipc.arguments import AdminArguments
from splicer.ipc.board import Board
from splicer.ipc.facts import EdgeFacts
from splicer.ipc.messages import AdminReport, Ready, ServeAdmin, Serving
from splicer.net.bind import bind
from splicer.supervisor import launch
from tests.admin.counting import Start, counters
from tests.kit.driven import TIMEOUT, Driven


class Admin(Driven[AdminReport]):
    """A `python -m splicer.admin`."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.listener = bind("127.0.0.1", 0)
        self.address: tuple[str, int] = self.listener.getsockname()
        self.for_scraper = bind("127.0.0.1", 0)
        super().__init__(launch.ADMIN, AdminArguments, Board(), AdminReport)

    def serve(self) -> None:
        order = ServeAdmin(7, EdgeFacts(workers=2), {"admin": 1, "metrics": 1})
        self.tell(order, self.listener.fileno(), self.for_scraper.fileno())
        assert self.hear() == Serving(7)

    def close(self) -> None:
        try:
            super().close()
        finally:
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
