"""The tls processes: they have the state of TLS connections and the private keys, and outlive workers.

An upgrade leaves the old ones until their last connection is over, beside the new generation. Other settings are tried
by the processes themselves, which alone read keys: if one of them finds a fault, all go back to what they had.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from splicer.ipc import wire
from splicer.ipc.arguments import Place, TlsArguments
from splicer.ipc.codec import to_json
from splicer.ipc.message import Message
from splicer.ipc.tls_messages import (
    AttendTls,
    ConfigureTls,
    ProfileFacts,
    RetireTls,
    TlsConfigured,
    TlsCrash,
    TlsProcessFacts,
    TlsProfileRead,
    TlsReady,
    TlsSettings,
)
from splicer.ipc.tls_orders import AttachTls
from splicer.ipc.wire import text_file
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.launch import TLS
from splicer.supervisor.process_table import Backoff, ProcessTable
from splicer.supervisor.processes import Process, State
from splicer.supervisor.tls_trial import TlsTrial, Tried
from splicer.vault.protocol import channel

_MAX_START_INTERVAL = 30.0  # seconds, at most, between two attempts to start one
_MAX_START_INTERVAL_WITH_WORKERS = 2.0  # seconds; the same while workers serve
_MOST_FAILURES = 5  # processes in a row that may fail before settings that are tried are given up
_MOST_PROCESSES = 128  # of all generations together, beyond which there is no new one


class TlsProcesses(TlsTrial):
    """Keeps the tls processes alive.

    Args:
        process_table: starts the processes.
        log: see `TlsTrial`.
        workers: see `TlsTrial`.
        told: see `TlsTrial`.
        changed: see `TlsTrial`.
    """

    def __init__(
        self,
        process_table: ProcessTable,
        log: PlainLog,
        workers: Callable[[], Iterable[Process]],
        told: Callable[[ProfileFacts], None],
        changed: Callable[[], None],
    ) -> None:
        super().__init__(process_table, log, workers, told, changed)
        self._settled: set[int] = set()  # the pids of those that use `settings`
        self._ended = False
        self._renewal = False  # a new generation is to begin
        self.all: dict[int, Process] = {}
        self.backoff = Backoff()

    @property
    def complete(self) -> bool:
        """Whether all of them serve."""
        return self.count(State.SERVING) >= self.settings.processes

    @property
    def facts(self) -> tuple[TlsProcessFacts, ...]:
        """The processes, for operators."""
        states = {State.SERVING: "serving", State.LEAVING: "serving", State.GONE: "leaving"}
        return tuple(
            TlsProcessFacts(one.pid, one.row, one.slot, states.get(one.state, "starting")) for one in self.all.values()
        )

    def count(self, *states: State) -> int:
        """The number of processes in these states."""
        return sum(process.state in states for process in self.all.values())

    def use(self, settings: TlsSettings, tried: Tried) -> None:
        """Use other settings.

        Args:
            settings: all profiles.
            tried: called with the faults when all processes have answered; if there are any, nothing has changed.
        """
        self._replace(settings)
        if settings == self._before or not settings.processes:
            self._before = settings
            tried(())
            return
        self._tried = tried
        self.backoff.reset()
        self._configure()
        self.reconcile()

    def renew(self) -> None:
        """Begin a new generation, with the code that is on disk, as soon as the present one is complete."""
        self._renewal = True

    def adopt(self, process: Process) -> None:
        """Take over a process that an earlier supervisor has started; it stays until its connections are over."""
        self._process_table.adopt(self, process)
        self.all[process.pid] = process
        process.state = State.LEAVING if process.state is State.SERVING else State.GONE
        if process.state is State.GONE:
            process.send(RetireTls())

    def reconcile(self) -> None:
        """Start missing processes, and retire surplus ones and those of an older generation."""
        if self._ended:
            return
        if self._renewal and self.complete and self._tried is None:
            self._begin_generation()
        live = [one for one in self.all.values() if one.state in (State.STARTING, State.PLACED, State.SERVING)]
        missing = self.settings.processes - len(live)
        for process in live[self.settings.processes :] if self._tried is None else ():
            self._retire(process)
        if self.complete:
            for process in self.all.values():
                if process.state is State.LEAVING:
                    self._retire(process)
        serves = any(True for _ in self._workers())
        longest = _MAX_START_INTERVAL_WITH_WORKERS if serves else _MAX_START_INTERVAL
        if missing > 0 and self.backoff.is_over(longest):
            for _ in range(missing):
                self._start()
        if self._tried is not None and self.backoff.failures >= _MOST_FAILURES:
            self._decide(["no tls process can be started; the log says why"])

    def introduce(self, worker: Process) -> None:
        """Give a worker, or the discovery process, a channel to each of those that serve."""
        for process in self.all.values():
            if process.state is State.SERVING:
                self._introduce(process, worker)

    def attend(self, row: int, fd: int) -> None:
        """Have the process of a row serve a worker, to which `fd` is a channel; it is not closed here.

        Raises:
            BlockingIOError: the process takes nothing at present.
        """
        for process in self.all.values():
            if process.row == row and process.state in (State.SERVING, State.LEAVING):
                with suppress(ConnectionError):  # it is dead already
                    wire.send(process.sock, AttendTls(), (fd,), process.version)

    def end(self) -> None:
        """Have all of them end with their last connection."""
        self._ended = True
        for process in self.all.values():
            self._retire(process)

    def on_message(self, process: Process, report: Message) -> None:
        """See `ProcessOwner`."""
        match report:
            case TlsReady() if process.state is State.STARTING:
                process.state = State.PLACED
                self._send_settings(process, self._process_table.next_request())
            case TlsConfigured(request, faults) if process.state in (State.PLACED, State.SERVING):
                self._hear_answer(process, request, faults)
            case TlsProfileRead(facts) if process.state is not State.GONE:
                self._note(facts)
            case TlsCrash(traceback):
                self._log("tls_crash", level="error", pid=process.pid, traceback=traceback)

    def on_exit(self, process: Process, why: str, *, failed: bool) -> None:
        """See `ProcessOwner`."""
        del self.all[process.pid]
        self._settled.discard(process.pid)
        if process.state in (State.STARTING, State.PLACED):
            self.backoff.failed()
        if failed:
            self.restarts += process.state is State.SERVING
            self._log("tls_died", level="error", pid=process.pid, state=process.state.value, reason=why)
        elif process.state is State.GONE:
            self._log("tls_retired", pid=process.pid)
        self._changed()
        self._decide_if_answered()
        self.reconcile()

    # ---- one process ----

    def _start(self) -> None:
        process = self._process_table.start(self, TLS, self._arguments, [])
        if process is None:
            self.backoff.failed()
        else:
            process.slot = self.generation
            self.all[process.pid] = process

    def _arguments(self, place: Place) -> TlsArguments:
        return TlsArguments(place)

    def _begin_generation(self) -> None:
        self._renewal = False
        if len(self.all) + self.settings.processes > _MOST_PROCESSES:
            fault = (
                f"there are {len(self.all)} tls processes of earlier upgrades with connections; the old code goes on"
            )
            self._log("tls_not_started", level="error", fault=fault)
            return
        self.generation += 1
        for process in self.all.values():
            if process.state is State.SERVING:
                process.state = State.LEAVING

    def _retire(self, process: Process) -> None:
        if process.state is not State.GONE:
            process.state = State.GONE
            process.send(RetireTls())

    def _send_settings(self, process: Process, request: int) -> None:
        text = text_file(to_json(self.settings))
        process.send(ConfigureTls(request), (text,))
        os.close(text)

    def _configure(self) -> None:
        self._settled.clear()
        request = self._process_table.next_request()
        for process in self.all.values():
            if process.state in (State.PLACED, State.SERVING):
                self._send_settings(process, request)
        self._request = request

    def _hear_answer(self, process: Process, request: int, faults: Sequence[str]) -> None:
        if request < self._request:
            return
        if faults:
            if self._tried is not None:
                self._decide(faults)
            elif process.state is State.PLACED:
                for fault in faults:
                    self._log("tls_not_started", level="error", pid=process.pid, fault=fault)
                self.backoff.failed()
                self._retire(process)
            return
        self._settled.add(process.pid)
        if process.state is State.PLACED:
            process.state = State.SERVING
            self.backoff.reset()
            self._log("tls_serving", pid=process.pid)
            self._changed()
            for worker in self._workers():
                self._introduce(process, worker)
        self._decide_if_answered()

    # The supervisor keeps neither end: then each of the two notices the other's death.
    def _introduce(self, process: Process, worker: Process) -> None:
        try:
            ours, its = channel()
        except OSError as error:
            self._log("worker_not_introduced", level="error", pid=worker.pid, error=error.strerror)
            return
        with ours, its, suppress(OSError):
            wire.send(worker.sock, AttachTls(process.row, process.slot), (its.fileno(),), worker.version)
            process.send(AttendTls(), (ours.fileno(),))

    # ---- settings that are tried ----

    def _decide_if_answered(self) -> None:
        live = {one.pid for one in self.all.values() if one.state in (State.STARTING, State.PLACED, State.SERVING)}
        if self._tried is not None and len(live) >= self.settings.processes and live <= self._settled:
            self._decide(())

    def _go_back(self) -> None:
        if self.settings.processes:
            self._configure()
        else:
            self.reconcile()

    # ---- what they have read ----

    def _note(self, facts: ProfileFacts) -> None:
        key = facts.side, facts.name
        before = self.profiles.get(key)
        if facts == before:
            return
        self.profiles[key] = facts
        self._told(facts)
        told = {"profile": facts.name, "side": facts.side}
        if facts.fault is not None:
            self._log("certificate_not_used", level="error", **told, fault=facts.fault)
            return
        for one in facts.certificates:
            self._log("certificate_loaded", **told, path=one.path, names=list(one.names), not_after=one.not_after)
        for warning in facts.warnings:
            self._log("certificate_warning", level="warning", **told, warning=warning)
