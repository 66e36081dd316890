"""A process beside the workers, of which there is one, and which is replaced when it dies. No call depends on it."""

from __future__ import annotations

import os
import socket
import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from splicer.ipc import wire
from splicer.ipc.arguments import Place
from splicer.ipc.message import Message, Request
from splicer.ipc.messages import Config, IntroduceWorker, Ready, Serving, Stop, WorkerOrder
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.process_table import Backoff, ProcessOwner, ProcessTable
from splicer.supervisor.processes import Process, State
from splicer.vault.protocol import channel

_MAX_START_INTERVAL = 30.0  # seconds, at most, between two attempts to start it
_STABLE_SECONDS = 10.0  # seconds; a process that has served so long is sound


class SideProcess(ProcessOwner):
    """Keeps one process alive while it is `wanted`.

    It says that it is `Ready`, gets an order to serve, and answers that it is `Serving`.

    Args:
        process_table: starts the process.
        log: the log.
        arguments: makes its arguments.
        config: returns a file with the text in force, which is closed here.
        heard: called with each of its reports.
        began: called when it serves.
        died: called when it has died.
    """

    MODULE: ClassVar[str]
    ATTEND: ClassVar[type[WorkerOrder]]  # what a worker is told that gets a channel to it

    def __init__(
        self,
        process_table: ProcessTable,
        log: PlainLog,
        arguments: Callable[[Place], object],
        config: Callable[[], int | None],
        heard: Callable[[Message], None],
        began: Callable[[], None],
        died: Callable[[], None] = lambda: None,
    ) -> None:
        self._process_table = process_table
        self._log = log
        self._arguments = arguments
        self._config = config
        self._heard = heard
        self._began = began
        self._died = died
        self._process: Process | None = None
        self._backoff = Backoff()
        self._served_at = 0.0  # when it began to, on the monotonic clock
        self.wanted = False
        self.restarts = 0  # how many have died

    def want(self, *, wanted: bool) -> None:
        """Keep it alive from now on, or end it."""
        self.wanted = wanted
        if not wanted and self._process is not None and self._process.state is not State.GONE:
            self.dismiss()

    def reconcile(self) -> None:
        """Start the process if it is missing."""
        if self.is_missing and self._backoff.is_over(_MAX_START_INTERVAL):
            self._process = self._process_table.start(self, self.MODULE, self._arguments, [])
            if self._process is None:
                self._backoff.failed()

    @property
    def is_missing(self) -> bool:
        """Whether it is to be started."""
        return self.wanted and self._process is None

    @property
    def serving(self) -> Process | None:
        """The process, if it serves."""
        return self._process if self.serves else None

    @property
    def serves(self) -> bool:
        """Whether it is serving."""
        return self._process is not None and self._process.state is State.SERVING

    def send(self, order: Message, fds: tuple[int, ...] = ()) -> None:
        """Send it a message, if it serves."""
        if self._process is not None and self.serves:
            self._process.send(order, fds)

    def tell_config(self) -> None:
        """Send it the configuration in force."""
        config = self._config()
        if config is not None:
            self.send(Config(), (config,))
            os.close(config)

    def introduce(self, worker: Process) -> None:
        """Make a channel between it and a worker."""
        order = IntroduceWorker(worker.slot, worker.pid, worker.version, worker.mover)
        self.connect(worker, self.ATTEND(), order)

    # The supervisor keeps neither end: then each of the two notices the other's death, and no message is left for a
    # third process.
    def connect(self, worker: Process, there: WorkerOrder, here: Message, buffer: int | None = None) -> None:
        """Make a channel between it and a worker, if it serves.

        Args:
            worker: the worker.
            there: the message with the worker's end.
            here: the message with its own end.
            buffer: bytes that may wait in the channel; None: as many as usual.
        """
        if not self.serves:
            return
        try:
            ours, its = channel()
        except OSError as error:
            self._log("worker_not_introduced", level="error", pid=worker.pid, error=error.strerror)
            return
        with ours, its, suppress(OSError):  # a worker that can't get its end stays invisible, but lives
            if buffer is not None:
                its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            wire.send(worker.sock, there, (its.fileno(),), worker.version)
            self.send(here, (ours.fileno(),))

    def dismiss(self) -> None:
        """Stop the process; it is started again only if it is still `wanted`."""
        if self._process is not None:
            self._process.state = State.GONE
            self._process.send(Stop())

    def on_message(self, process: Process, report: Message) -> None:
        """See `ProcessOwner`."""
        match report, process.state:
            case Ready(), State.STARTING:
                process.state = State.PLACED
                order, fds = self._serve(self._process_table.next_request())
                process.send(order, fds)
            case Serving(), State.PLACED:
                process.state = State.SERVING
                self._served_at = time.monotonic()
                self._served()
                self._began()
            case _, State.SERVING:
                self._heard(report)

    # One that was killed is replaced at once. One that ends by itself has a bug, which the next one may have too.
    def on_exit(self, process: Process, why: str, *, failed: bool) -> None:
        """See `ProcessOwner`."""
        served = process.state in (State.SERVING, State.GONE)
        if served and time.monotonic() >= self._served_at + _STABLE_SECONDS:
            self._backoff.reset()
        if not served or (failed and why.startswith("exit")):
            self._backoff.failed()
        if self._process is process:
            self._process = None
        if failed:
            self.restarts += 1
            self._log_death(pid=process.pid, state=process.state.value, reason=why)
            self._died()

    @abstractmethod
    def _serve(self, request: int) -> tuple[Request, tuple[int, ...]]:
        """The order to serve, and its descriptors."""

    @abstractmethod
    def _log_death(self, **fields: Any) -> None:
        """Log that it has died."""

    def _served(self) -> None:
        """Called when it serves: tell it what it must know."""
        self.tell_config()
