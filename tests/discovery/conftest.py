"""The discovery process as its supervisor has it: a board, a channel, and orders."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from splicer.ipc import wire
from splicer.ipc.arguments import DiscoveryArguments, Place
from splicer.ipc.board import Board
from splicer.ipc.messages import Config, Discover, DiscoveryOrder, DiscoveryReport, IntroduceWorker, Ready, Serving
from splicer.supervisor import launch
from splicer.vault.protocol import channel

TIMEOUT = 20.0  # seconds
OWN = 7  # its row


class Discovery:
    """A `python -m splicer.discovery`; `board`: of a process before it."""

    def __init__(self, board: Board | None = None) -> None:
        self.board = board or Board()
        self.control, its = channel()
        main, *others = self.board.fds
        place = Place(its.fileno(), main, OWN, wire.VERSION, *others)
        arguments = DiscoveryArguments(place, "routing.toml", "json")
        self.pid = launch.spawn("splicer.discovery", arguments, [its.fileno(), *self.board.fds])
        its.close()
        self.status: int | None = None

    def tell(self, order: DiscoveryOrder, *fds: int) -> None:
        wire.send(self.control, order, fds)

    def hear(self, seconds: float = TIMEOUT) -> DiscoveryReport | None:
        """What it says next; None when it says no more."""
        assert select.select([self.control], [], [], seconds)[0], "it says nothing"
        heard = wire.receive(self.control, DiscoveryReport)
        return None if heard is None else heard.message

    def serve(self) -> None:
        self.tell(Discover(7))
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
            else:
                time.sleep(0.005)
        return self.status

    def close(self) -> None:
        self.control.close()
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@contextmanager
def running(board: Board | None = None) -> Iterator[Discovery]:
    """One that is ready; its lines are those of this process."""
    made = board or Board()
    discovery = Discovery(made)
    try:
        assert discovery.hear() == Ready()
        yield discovery
    finally:
        discovery.close()
        if board is None:
            made.close()


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """The lines of all processes that are started within the block; they are there at its end."""
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield lines
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            lines += [json.loads(line) for line in file.read().splitlines() if line.startswith(b"{")]


@pytest.fixture
def discovery() -> Iterator[Discovery]:
    with running() as one:
        yield one
