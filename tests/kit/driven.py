"""A process of splicer's as its supervisor has it: a board, a channel, and orders."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from typing import Generic, TypeVar

from splicer.ipc import wire
from splicer.ipc.arguments import AdminArguments, DiscoveryArguments, Place
from splicer.ipc.board import Board
from splicer.ipc.message import Message
from splicer.ipc.messages import Config, IntroduceWorker
from splicer.supervisor import launch
from splicer.vault.protocol import channel

TIMEOUT = 20.0  # seconds
OWN = 7  # its row

Report = TypeVar("Report", bound=Message)


class Driven(Generic[Report]):
    """A process that awaits its orders.

    Args:
        module: its program.
        arguments: makes its arguments.
        board: of all processes; its descriptors go along.
        reports: the border of its messages.
    """

    def __init__(
        self,
        module: str,
        arguments: type[AdminArguments] | type[DiscoveryArguments],
        board: Board,
        reports: type[Report],
    ) -> None:
        self.board = board
        self._reports = reports
        self.control, its = channel()
        main, *others = board.fds
        place = Place(its.fileno(), main, OWN, wire.VERSION, *others)
        self.pid = launch.spawn(module, arguments(place, "routing.toml", "json"), [its.fileno(), *board.fds])
        its.close()
        self.status: int | None = None

    def tell(self, order: Message, *fds: int) -> None:
        wire.send(self.control, order, fds)

    def hear(self, seconds: float = TIMEOUT) -> Report | None:
        """What it says next; None when it says no more."""
        assert select.select([self.control], [], [], seconds)[0], "it says nothing"
        heard = wire.receive(self.control, self._reports)
        return None if heard is None else heard.message

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

    # The end of the channel lets the process end by itself, and write its last lines; if it does not, it is killed.
    def close(self) -> None:
        self.control.close()
        try:
            self.wait()
        finally:
            if self.status is None:
                os.kill(self.pid, signal.SIGKILL)
                self.wait()
