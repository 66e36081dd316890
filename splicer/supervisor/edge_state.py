"""What the parts of the supervisor share: the processes, what is known of the configuration, what is awaited."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from splicer.configfile.last_good import LastGood
from splicer.ipc.arguments import AdminArguments, DiscoveryArguments, Place, WorkerArguments
from splicer.ipc.board import Board, Column
from splicer.ipc.codec import to_object
from splicer.ipc.facts import ConfigSummary, EdgeFacts, OperatorDrains, Reloads
from splicer.ipc.message import Message
from splicer.ipc.messages import Absent, FollowDrains, WantDrains
from splicer.ipc.wire import text_file
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.admin_process import AdminProcess
from splicer.supervisor.control_socket import ControlSocket
from splicer.supervisor.discovery_process import DiscoveryProcess
from splicer.supervisor.listeners import EdgeListeners
from splicer.supervisor.metrics_dir import MetricsDirectory
from splicer.supervisor.outcomes import Outcomes
from splicer.supervisor.process_table import ProcessTable
from splicer.supervisor.processes import Process, State
from splicer.supervisor.remote_tls import RemoteTls
from splicer.supervisor.sd_notify import SdNotify
from splicer.supervisor.side_process import SideProcess
from splicer.supervisor.template_process import TemplateProcess
from splicer.supervisor.tls_processes import TlsProcesses
from splicer.supervisor.vaults import Vault
from splicer.supervisor.watch import Watch
from splicer.supervisor.worker_slots import WorkerSlots


class EdgeState:
    """The state of one `splicer run` in its supervisor.

    Args:
        path: the routing.toml.
        log: the log.
        vault: holds the tunnels.
        selector: the loop's selector.
        board: the board.
        listeners: the listeners that exist already.
        counts: the directory of the metrics' files; None: each process counts in memory.
        watch: whether a change of the file starts a reload.
        last_good: the file that keeps the last accepted configuration; None: it is not kept.
        notify: the service manager; None: there is none.
        made: whether the file was made for this edge (`splicer run --to`).
        tls_in_vault: whether the vault runs the tls processes.
    """

    def __init__(
        self,
        path: Path,
        log: PlainLog,
        vault: Vault,
        selector: selectors.BaseSelector,
        board: Board,
        listeners: EdgeListeners,
        counts: MetricsDirectory | None,
        *,
        watch: bool = False,
        last_good: Path | None = None,
        notify: SdNotify | None = None,
        made: bool = False,
        tls_in_vault: bool = False,
    ) -> None:
        self.path = path
        self.made = made
        self.log = log
        self.vault = vault
        self.selector = selector
        self.board = board
        self.listeners = listeners
        self.watch = Watch(path, on=watch)
        self.last_good = LastGood(last_good, log)
        self.notify = notify or SdNotify({}, log)
        self.template = TemplateProcess(selector, log)
        self.process_table = ProcessTable(selector, board, log, self.template.spawn)
        self.counts = counts
        self.admin_process = AdminProcess(
            self.process_table,
            log,
            listeners.of("admin"),
            self._admin_arguments,
            self._facts,
            self._config,
            self._hear_admin,
            lambda: self._introduce_all(self.admin_process),
            self._traces,
        )
        self.discovery_process = DiscoveryProcess(
            self.process_table,
            log,
            self._discovery_arguments,
            self._config,
            lambda report: self._hear_absent(self.discovery_process, report),
            lambda: self._introduce_all(self.discovery_process),
            self.admin_process.tell,
        )
        self.side_processes: tuple[SideProcess, ...] = (self.admin_process, self.discovery_process)
        self.workers = WorkerSlots(
            self.process_table,
            log,
            self._worker_arguments,
            self._config,
            lambda: self.drains,
            lambda: self.draining is not None,
            listeners.of("worker"),
            lambda: bool(vault.tunnels),
            lambda: vault.orphaned_slots,
            self._introduce,
            self.admin_process.tell,
        )
        told, changed = self.admin_process.tell_profile, self.admin_process.tell
        self.tls_in_vault = tls_in_vault
        self.tls: TlsProcesses | RemoteTls = (
            RemoteTls(vault, self.process_table, selector, log, self._use_tls, told, changed)
            if tls_in_vault
            else TlsProcesses(self.process_table, log, self._use_tls, told, changed)
        )
        self.summary: ConfigSummary | None = None  # of the configuration in force
        self.generation = 0
        self.asked = 0  # the number of reloads asked for
        self.reloads = Reloads(last_at=time.time())
        self.outcomes = Outcomes()
        self.control = ControlSocket(selector, self.outcomes, log)
        self.drains = OperatorDrains()  # the operators' drains
        self.followed = self.drains  # the drains that all workers follow
        self.draining: float | None = None  # the deadline of a drain, on the monotonic clock
        self.stopping = False
        self.code: int | None = None  # the exit code, once all is over
        self.steps: list[Callable[[], bool]] = []  # each is called in every turn of the loop until it returns True
        if isinstance(self.tls, RemoteTls):
            self.tls.begin()

    def bind(self, summary: ConfigSummary) -> list[str]:
        """Listen at the addresses of the configuration only; return the faults."""
        of_workers = self.listeners.of("worker")
        self.vault.recover(of_workers)
        if self.vault.refusal is not None:
            return [self.vault.refusal]
        faults = self.listeners.listen(summary.listeners)
        self.vault.keep(of_workers)
        return [f"{self.path}: {fault}" for fault in faults]

    def bind_more(self, summary: ConfigSummary) -> list[str]:
        """Listen also at another configuration's addresses; return the faults: if there are any, nothing changes."""
        return [f"{self.path}: {fault}" for fault in self.listeners.add(summary.listeners)]

    def put_in_force(self, summary: ConfigSummary) -> None:
        """Use a configuration from now on."""
        self.summary = summary
        self.last_good.keep(summary.text)
        self.template.parse(self.path, summary.text)
        self.log.use(summary.format)
        self.warn(summary)
        if summary.tls.processes and self.vault.path is not None and not self.tls_in_vault:
            lost = "calls over TLS end with this container, although there is a vault"
            remedy = "start the vault with --tls, and then this edge again"
            self.log("tls_not_in_vault", level="warning", warning=lost, remedy=remedy)
        self.listeners["listen"].rules = summary.rules
        self.workers.slots = summary.workers
        self._want_admin()
        self.discovery_process.want(wanted=summary.discovery)

    def replace_summary(self, summary: ConfigSummary) -> None:
        """Use another configuration in the same processes; the discovery process is there only if that needs it."""
        self.summary = summary
        self.discovery_process.want(wanted=summary.discovery)
        self.discovery_process.tell_config()

    def follow_traces(self, before: ConfigSummary | None) -> None:
        """After a reload: have workers tell of spans if they didn't, and have the admin process only if it is needed.

        Args:
            before: what was in force.
        """
        self._want_admin()
        if self._traces() and not (before is not None and before.traces):
            for worker in self.workers.all.values():
                if worker.slot and worker.state is not State.GONE:
                    self.admin_process.introduce_for_spans(worker)

    def dismiss_side_processes(self) -> None:
        """Stop the processes beside the workers; those that are wanted are started again."""
        for process in self.side_processes:
            process.dismiss()

    # Spans are sent by it even if nobody may ask it anything.
    def _want_admin(self) -> None:
        listens = any(listeners.sockets for listeners in self.listeners.of("admin").values())
        self.admin_process.want(wanted=listens or self._traces())

    def _traces(self) -> bool:
        return self.summary is not None and self.summary.traces

    def warn(self, summary: ConfigSummary) -> None:
        """Log the warnings of a configuration."""
        for warning in summary.warnings:
            self.log("config_warning", level="warning", warning=warning)

    def load(self) -> dict[str, Any]:
        """The numbers of tunnels and exchanges in all processes together."""
        tunnels = max(self.board.total(Column.TUNNELS), self.vault.tunnels)
        return {"tunnels": tunnels, "exchanges": self.board.total(Column.EXCHANGES)}

    def finish(self, code: int) -> None:
        """End now, and kill the remaining processes."""
        self.template.end()
        for process in self.process_table.all.values():
            process.kill()
        if self.counts is not None:
            self.counts.remove()
            self.counts = None
        self.code = code

    def _worker_arguments(self) -> tuple[Callable[[Place], WorkerArguments], list[int]]:
        vault, fds = self.vault.vault_connection()
        return partial(WorkerArguments, path=str(self.path), vault=vault, metrics=self._counts_path), fds

    def _admin_arguments(self, place: Place) -> AdminArguments:
        return AdminArguments(place, str(self.path), self.summary.format if self.summary else "auto", self._counts_path)

    def _config(self) -> int | None:
        return None if self.summary is None else text_file(self.summary.text)

    def _discovery_arguments(self, place: Place) -> DiscoveryArguments:
        log_format = self.summary.format if self.summary else "auto"
        return DiscoveryArguments(place, str(self.path), log_format, self._counts_path)

    @property
    def _counts_path(self) -> str | None:
        return None if self.counts is None else self.counts.path

    def _introduce(self, worker: Process) -> None:
        for process in self.side_processes:
            process.introduce(worker)

        self.tls.introduce(worker)

    # The discovery process checks pods as workers call them.
    def _use_tls(self) -> list[Process]:
        discovery = self.discovery_process.serving
        return [*self.workers.serving.values(), *([] if discovery is None else [discovery])]

    def _introduce_all(self, process: SideProcess) -> None:
        if process is self.admin_process:
            for facts in self.tls.profiles.values():
                self.admin_process.tell_profile(facts)
        elif process is self.discovery_process and process.serving is not None:
            self.tls.introduce(process.serving)
        for worker in self.workers.all.values():
            if worker.slot and worker.state is not State.GONE:
                process.introduce(worker)

    def _hear_absent(self, process: SideProcess, report: Message) -> None:
        if isinstance(report, Absent):
            for slot in self.workers.serving.keys() & set(report.slots):
                process.introduce(self.workers.serving[slot])

    def _hear_admin(self, report: Message) -> None:
        self._hear_absent(self.admin_process, report)
        if isinstance(report, WantDrains):
            self._drain(report.drains)

    # The drains are kept here because they must outlive the admin process and all workers. Only answers to the newest
    # request count, so `followed` is always the newest order.
    def _drain(self, drains: OperatorDrains) -> None:
        self.drains = drains
        request = self.workers.request(lambda number: FollowDrains(number, drains))

        def followed() -> bool:
            if self.drains is not drains:
                return True
            if self.workers.awaits(request):
                return False
            self.followed = drains
            self.log("drains", drains=to_object(drains))
            self.admin_process.tell()
            return True

        self.steps.append(followed)

    def _facts(self) -> EdgeFacts:
        return EdgeFacts(
            self.generation,
            self.workers.slots,
            self.draining is not None,
            self.followed,
            self.reloads,
            self.workers.restarts,
            self.discovery_process.restarts,
            tls_restarts=self.tls.restarts,
            tls_processes=self.tls.facts,
            tls_profiles=self.tls.settings.names,
        )
