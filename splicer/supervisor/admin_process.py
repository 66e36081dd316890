"""The supervisor's part for the admin process, which is replaced when it dies. No call depends on it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

from splicer.ipc import wire
from splicer.ipc.arguments import AdminArguments, Place
from splicer.ipc.facts import EdgeFacts
from splicer.ipc.message import Message
from splicer.ipc.messages import (
    AdminOrder,
    AdminReport,
    Attend,
    Config,
    Facts,
    HearSpans,
    IntroduceWorker,
    Ready,
    ServeAdmin,
    Serving,
    Stop,
    TraceTo,
    WorkerOrder,
)
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.launch import ADMIN
from splicer.supervisor.listeners import Listeners, counts_of, fds_of
from splicer.supervisor.process_table import Backoff, ProcessOwner, ProcessTable
from splicer.supervisor.processes import Process, State
from splicer.vault.protocol import channel

_SPANS_BUFFER = 1 << 20  # bytes of packets that wait for the admin process; the kernel may allow less (socket(7))
_MAX_START_INTERVAL = 30.0  # seconds, at most, between two attempts to start it


class AdminProcess(ProcessOwner):
    """Keeps the admin process alive.

    Args:
        process_table: starts the process.
        log: the log.
        listeners: the sockets on which it accepts, by name.
        arguments: makes its arguments.
        facts: returns the state of the edge.
        config: returns a file with the text in force, which is closed here.
        heard: called with each of its reports.
        began: called when it serves.
        traces: whether workers tell it of spans.
    """

    REPORTS = AdminReport

    def __init__(
        self,
        process_table: ProcessTable,
        log: PlainLog,
        listeners: Mapping[str, Listeners],
        arguments: Callable[[Place], AdminArguments],
        facts: Callable[[], EdgeFacts],
        config: Callable[[], int | None],
        heard: Callable[[Message], None],
        began: Callable[[], None],
        traces: Callable[[], bool],
    ) -> None:
        self._process_table = process_table
        self._log = log
        self._listeners = listeners
        self._arguments = arguments
        self._facts = facts
        self._config = config
        self._heard = heard
        self._began = began
        self._traces = traces
        self._process: Process | None = None
        self._backoff = Backoff()
        self.wanted = False

    def reconcile(self) -> None:
        """Start the process if it is missing."""
        if self.wanted and self._process is None and self._backoff.is_over(_MAX_START_INTERVAL):
            self._process = self._process_table.start(self, ADMIN, self._arguments, [])
            if self._process is None:
                self._backoff.failed()

    @property
    def serves(self) -> bool:
        """Whether it is serving."""
        return self._process is not None and self._process.state is State.SERVING

    def tell(self) -> None:
        """Send it the current state of the edge."""
        if self._process is not None and self.serves:
            self._process.send(Facts(self._facts()))

    def tell_config(self) -> None:
        """Send it the configuration in force."""
        config = self._config()
        if config is not None:
            if self._process is not None and self.serves:
                self._process.send(Config(), (config,))
            os.close(config)

    # The supervisor keeps neither end: then each of the two notices the other's death, and no message is left for a
    # third process.
    def introduce(self, worker: Process) -> None:
        """Make the channels between it and a worker."""
        order = IntroduceWorker(worker.slot, worker.pid, worker.version, worker.mover)
        self._connect(worker, Attend(), order)
        self.introduce_for_spans(worker)

    def introduce_for_spans(self, worker: Process) -> None:
        """Make the channel for spans between it and a worker, if spans are sent anywhere."""
        if self._traces():
            self._connect(worker, TraceTo(), HearSpans(worker.slot), buffer=_SPANS_BUFFER)

    def _connect(self, worker: Process, there: WorkerOrder, here: AdminOrder, buffer: int | None = None) -> None:
        if self._process is None or not self.serves:
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
            self._process.send(here, (ours.fileno(),))

    def want(self, *, wanted: bool) -> None:
        """Keep it alive from now on, or end it."""
        self.wanted = wanted
        if not wanted:
            self.dismiss()

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
                request, counts = self._process_table.next_request(), counts_of(self._listeners)
                process.send(ServeAdmin(request, self._facts(), counts), fds_of(self._listeners))
            case Serving(), State.PLACED:
                process.state = State.SERVING
                self._backoff.reset()
                self.tell()
                self.tell_config()
                self._began()
            case _, State.SERVING:
                self._heard(report)

    def on_exit(self, process: Process, why: str, *, failed: bool) -> None:
        """See `ProcessOwner`."""
        if process.state in (State.STARTING, State.PLACED):
            self._backoff.failed()
        if self._process is process:
            self._process = None
        if failed:
            self._log("admin_died", level="error", pid=process.pid, state=process.state.value, reason=why)
