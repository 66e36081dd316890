"""The supervisor's view of one process that it has started."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from enum import StrEnum
from typing import Any

from splicer.ipc import wire


class State(StrEnum):
    """Where a process stands."""

    STARTING = "starting"
    IMPORTED = "imported"  # it has no configuration yet
    READY = "ready"  # a spare: it could serve at once
    PLACED = "placed"  # it was given a slot, and has not answered yet
    SERVING = "serving"
    LEAVING = "leaving"  # another has its slot
    GONE = "gone"  # it has handed its tunnels over, and finishes its last exchanges


class Process:
    """A worker, a spare or the admin process.

    Args:
        pid: its own.
        row: its row on the board.
        sock: the channel to it.
        state: where it stands.
        slot: that it serves; 0: none.
    """

    __slots__ = ("beat", "fault", "missed", "owed", "pid", "row", "slot", "sock", "state", "version")

    def __init__(self, pid: int, row: int, sock: socket.socket, state: State = State.STARTING, slot: int = 0) -> None:
        self.pid = pid
        self.row = row
        self.sock = sock
        self.state = state
        self.slot = slot
        self.version = wire.VERSION  # that it speaks
        self.beat = -1
        self.missed = 0  # seconds in which its loop did not turn
        self.owed: dict[str, float] = {}  # answers that are still to come, and since when, on the monotonic clock
        self.fault: str | None = None  # why it was killed by the supervisor

    @classmethod
    def restore(cls, pid: int, row: int, fd: int, state: State, slot: int, version: int) -> Process:
        """A process that an earlier supervisor has started; `fd` is the channel to it."""
        process = cls(pid, row, socket.socket(fileno=fd), state, slot)
        process.version = version
        return process

    def send(self, word: str, fds: tuple[int, ...] = (), **more: Any) -> None:
        """Tell it something. One that can't be told would go on without knowing: another takes its place."""
        try:
            wire.send(self.sock, {"do": word, **more}, fds, self.version)
        except ConnectionError:
            return  # it is dead already
        except OSError:
            self.kill()

    def owe(self, answer: str) -> None:
        """It is to say this word; one that never does is killed."""
        self.owed.setdefault(answer, time.monotonic())

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
