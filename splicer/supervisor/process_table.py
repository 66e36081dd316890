"""All processes that the supervisor has started: their rows on the board, their channels, and their ends."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from splicer.ipc import wire
from splicer.ipc.arguments import Place
from splicer.ipc.board import Board, Column
from splicer.ipc.message import Answer, Message
from splicer.ipc.messages import Unknown
from splicer.ipc.tls_table import free_row
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.processes import Process, State, reason
from splicer.vault.protocol import channel

_STUCK_TIMEOUT = 10  # seconds without a step of its event loop after which a process is killed
_START_TIMEOUT = 60  # the same of one that starts: it imports and reads its file in long steps, and has no calls yet
_BEFORE_CALLS = (State.STARTING, State.IMPORTED)
_ANSWER_TIMEOUT = 60.0  # seconds for an answer; a live process that doesn't answer is broken
_FIRST_RESTART_DELAY = 0.1  # seconds before another process is started after one that never served


Spawn = Callable[[str, object, Sequence[int]], int]


class ProcessOwner:
    """The part of the supervisor that a process belongs to."""

    REPORTS: type[Message]  # the border of the process's messages

    def on_message(self, process: Process, report: Message) -> None:
        """Handle a message from the process."""

    def on_exit(self, process: Process, why: str, *, failed: bool) -> None:
        """Handle the end of the process; `failed`: it had not been told to end."""


class ProcessTable:
    """Starts processes and notices their ends.

    Args:
        selector: where channels are watched.
        board: the board.
        log: the log.
        spawn: starts a process; see `launch.spawn`.
    """

    def __init__(self, selector: selectors.BaseSelector, board: Board, log: PlainLog, spawn: Spawn) -> None:
        self._selector = selector
        self._log = log
        self._spawn = spawn
        self.board = board
        self.all: dict[int, Process] = {}
        self._owners: dict[int, ProcessOwner] = {}
        self._last_request = 0

    @property
    def last_request(self) -> int:
        """The highest number of a request so far."""
        return self._last_request

    # Numbers go on rising through an upgrade's exec: an answer to a request of the old program must not settle one of
    # the new program.
    def count_requests_from(self, number: int) -> None:
        """Give later requests only higher numbers than this."""
        self._last_request = number

    def next_request(self) -> int:
        """The number for a new request."""
        self._last_request += 1
        return self._last_request

    def start(
        self, owner: ProcessOwner, module: str, arguments: Callable[[Place], object], fds: list[int]
    ) -> Process | None:
        """Start a process; None, and a line in the log, if that fails.

        Args:
            owner: the part of the supervisor that it belongs to.
            module: the module that it runs.
            arguments: makes its arguments (`ipc.arguments`).
            fds: descriptors that it gets; they are closed here.
        """
        taken = {process.row for process in self.all.values()}
        ends = None
        try:
            row = free_row(self.board.tls, taken)
            ends = ours, its = channel()
            # The started program may be newer than this one, and must use this one's version of the wire.
            board, routes, loads, endpoints, tls, connects = shared = self.board.fds
            place = Place(its.fileno(), board, row, wire.VERSION, routes, loads, endpoints, tls, connects)
            pid = self._spawn(module, arguments(place), [its.fileno(), *shared, *fds])
        except OSError as error:
            if ends is not None:
                ends[0].close()
            self._log("process_not_started", level="error", module=module, error=error.strerror)
            return None
        finally:
            if ends is not None:
                ends[1].close()
            for fd in fds:
                os.close(fd)
        process = Process(pid, row, ours)
        process.module = module
        self.adopt(owner, process)
        return process

    def adopt(self, owner: ProcessOwner, process: Process) -> None:
        """Take over a process that an earlier supervisor has started."""
        self.all[process.pid] = process
        self._owners[process.pid] = owner
        self._selector.register(process.sock, selectors.EVENT_READ, partial(self._hear, owner, process))

    def died(self, pid: int, status: int) -> None:
        """Handle the end of a child, which may be one that this table did not start."""
        process = self.all.pop(pid, None)
        if process is None:
            return
        with suppress(KeyError):
            self._selector.unregister(process.sock)
        process.sock.close()
        why = process.fault or reason(status)
        failed = process.state not in (State.LEAVING, State.GONE) or status != 0
        try:
            self._owners.pop(pid).on_exit(process, why, failed=failed)
        finally:
            self.board.clear(process.row)

    def tick(self) -> None:
        """Kill processes whose loop is stuck or whose answer is overdue; call this once a second."""
        self.board.loads.tidy()
        now = time.monotonic()
        for process in self.all.values():
            beat = self.board.row(process.row)[Column.BEAT]
            process.missed = 0 if beat != process.beat else process.missed + 1
            process.beat = beat
            if process.missed > (_START_TIMEOUT if process.state in _BEFORE_CALLS else _STUCK_TIMEOUT):
                process.fault = "stuck"
            elif any(now > owed.since + _ANSWER_TIMEOUT for owed in process.owed.values()):
                kinds = dict.fromkeys(owed.answer.KIND for owed in process.owed.values())
                process.fault = f"no answer: {', '.join(kinds)}"
            if process.fault is not None:
                process.kill()

    def _hear(self, owner: ProcessOwner, process: Process, _: int) -> None:
        if process.pid not in self.all:  # its end was handled earlier in this batch of events
            return
        while True:
            try:
                heard = wire.receive(process.sock, owner.REPORTS)
            except BlockingIOError:
                return
            except (ValueError, OSError) as error:
                self._log("process_unheard", level="error", pid=process.pid, error=str(error))
                process.kill()
                heard = None
            if heard is None:
                self._selector.unregister(process.sock)  # no more messages: the process is dead, or about to be
                return
            for fd in heard.fds:
                os.close(fd)
            process.version = heard.version
            if isinstance(heard.message, Answer):
                process.settle(heard.message)
            if isinstance(heard.message, Unknown):
                process.owed.pop(heard.message.request, None)
            elif heard.message is not None:
                owner.on_message(process, heard.message)


class Backoff:
    """The growing delay between attempts to start processes that never serve."""

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self._last = 0.0

    def failed(self) -> None:
        """Note that a process has ended before it served."""
        self.failures += 1
        self._last = time.monotonic()

    def is_over(self, longest: float) -> bool:
        """Whether the next process may be started; `longest` is the maximal delay in seconds."""
        if not self.failures:
            return True
        return time.monotonic() >= self._last + min(longest, _FIRST_RESTART_DELAY * 2.0 ** min(self.failures - 1, 16))

    def reset(self) -> None:
        """Note that a process serves."""
        self.failures = 0
