"""The supervisor's view of one process that it has started."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

from splicer.ipc import wire
from splicer.ipc.message import Answer, Message, Request
from splicer.supervisor.launch import WORKER


class State(StrEnum):
    """The state of a process."""

    STARTING = "starting"
    IMPORTED = "imported"  # it has no configuration yet
    READY = "ready"  # a spare: it could serve at once
    PLACED = "placed"  # it was given a slot, and has not answered yet
    SERVING = "serving"
    LEAVING = "leaving"  # another worker has its slot
    GONE = "gone"  # it has handed its tunnels over, and finishes its last exchanges


class Owed(NamedTuple):
    """An answer that a process still owes.

    Args:
        answer: its kind.
        since: when the request was sent, on the monotonic clock.
    """

    answer: type[Answer]
    since: float


class Process:
    """A worker, a spare or the admin process.

    Args:
        pid: its process id.
        row: its row on the board.
        sock: the channel to it.
        state: its state.
        slot: the slot that it serves; 0: none.
    """

    __slots__ = ("beat", "fault", "missed", "module", "mover", "owed", "pid", "row", "slot", "sock", "state", "version")

    def __init__(self, pid: int, row: int, sock: socket.socket, state: State = State.STARTING, slot: int = 0) -> None:
        self.pid = pid
        self.row = row
        self.sock = sock
        self.state = state
        self.slot = slot
        self.version = wire.VERSION  # its version of the wire
        self.module = WORKER  # the program that it runs
        self.mover = ""  # what moves a worker's frames; "": unknown
        self.beat = -1
        self.missed = 0  # seconds without a heartbeat
        self.owed: dict[int, Owed] = {}  # by the number of the request
        self.fault: str | None = None  # why it was killed by the supervisor

    @classmethod
    def restore(cls, pid: int, row: int, fd: int, state: State, slot: int, version: int, mover: str) -> Process:
        """A process that an earlier supervisor has started; `fd` is the channel to it."""
        process = cls(pid, row, socket.socket(fileno=fd), state, slot)
        process.version, process.mover = version, mover
        return process

    # A process that is about to end owes no answer: it may have no task left to give one.
    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send a message. If that fails, the process is killed and replaced: it must not go on without the message."""
        if isinstance(message, Request) and self.state is not State.GONE:
            self.owed[message.request] = Owed(message.ANSWER, time.monotonic())
        try:
            wire.send(self.sock, message, fds, self.version)
        except ConnectionError:
            return  # it is dead already
        except OSError:
            self.kill()

    def settle(self, answer: Answer) -> None:
        """Note an answer, which also settles all older requests of the same kind."""
        self.owed = {
            request: owed
            for request, owed in self.owed.items()
            if request > answer.request or owed.answer is not type(answer)
        }

    def kill(self) -> None:
        """SIGKILL."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def reason(status: int) -> str:
    """Why a process ended, from its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
