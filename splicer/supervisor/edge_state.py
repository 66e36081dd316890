"""What the parts of the supervisor share: the processes, what is known of the configuration, what is awaited."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from splicer.configfile.last_good import LastGood
from splicer.ipc.board import Board, Column
from splicer.ipc.wire import text_file
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.admin_process import AdminProcess
from splicer.supervisor.config_probe import ConfigSummary
from splicer.supervisor.control_socket import ControlSocket
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.metrics_dir import MetricsDirectory
from splicer.supervisor.outcomes import Outcomes
from splicer.supervisor.process_table import ProcessTable
from splicer.supervisor.processes import State
from splicer.supervisor.sd_notify import SdNotify
from splicer.supervisor.vaults import Vault
from splicer.supervisor.watch import Watch
from splicer.supervisor.worker_slots import WorkerSlots


@dataclass
class Reloads:
    """How reloads went: how many did and did not, how the last one, and when (seconds since the epoch)."""

    ok: int = 0
    failed: int = 0
    last_ok: bool = True
    last_at: float = field(default_factory=time.time)

    def note(self, *, ok: bool) -> None:
        """Another one."""
        self.ok += ok
        self.failed += not ok
        self.last_ok, self.last_at = ok, time.time()


class EdgeState:
    """One `splicer run`, seen from its supervisor.

    Args:
        path: the routing.toml.
        say: the log.
        vault: holds the tunnels.
        selector: the loop's.
        board: where the processes show their numbers.
        listeners: those that are there already.
        counts: where the processes count; None: each for itself.
        watch: whether the file is read when it has changed.
        last_good: where a configuration that was accepted is kept; None: nowhere.
        notify: the service manager; None: there is none.
    """

    def __init__(
        self,
        path: Path,
        log: PlainLog,
        vault: Vault,
        selector: selectors.BaseSelector,
        board: Board,
        listeners: Listeners,
        counts: MetricsDirectory | None,
        *,
        watch: bool = False,
        last_good: Path | None = None,
        notify: SdNotify | None = None,
    ) -> None:
        self.path = path
        self.log = log
        self.vault = vault
        self.selector = selector
        self.board = board
        self.listeners = listeners
        self.watch = Watch(path, on=watch)
        self.last_good = LastGood(last_good, log)
        self.notify = notify or SdNotify({}, log)
        self.process_table = ProcessTable(selector, board, log)
        self.counts = counts
        self.admin_process = AdminProcess(
            self.process_table,
            log,
            self._admin_arguments,
            self._admin_facts,
            self._config,
            self._hear_admin,
            self._introduce_all,
        )
        self.workers = WorkerSlots(
            self.process_table,
            log,
            self._vault_connection,
            self._config,
            self._orders,
            lambda: bool(vault.tunnels),
            lambda: vault.orphaned_slots,
            self.admin_process.introduce,
            self.admin_process.tell,
        )
        self.facts: ConfigSummary = {}  # what a child said of the configuration in force
        self.generation = 0
        self.asked = 0  # how often a reload was asked for
        self.reloads = Reloads()
        self.outcomes = Outcomes()
        self.control = ControlSocket(selector, self.outcomes, log)
        self.drains: dict[str, Any] = {"all": None, "pods": {}, "routes": {}}  # what an operator wants to become empty
        self.followed = self.drains  # ... and all workers go by
        self.draining: float | None = None  # until when, on the monotonic clock
        self.stopping = False
        self.code: int | None = None  # the exit code, once all is over
        self.steps: list[Callable[[], bool]] = []  # what is awaited: each is asked again until it says True

    def bind(self, facts: ConfigSummary) -> list[str]:
        """Listen where the configuration says, and nowhere else; the faults."""
        self.vault.recover(self.listeners)
        if self.vault.refusal is not None:
            return [self.vault.refusal]
        faults = self.listeners.listen(tuple(address) for address in facts["listen"])
        self.vault.keep(self.listeners)
        faults_of_admin = self.admin_process.listeners.listen(_wanted(facts, "admin"))
        faults_of_metrics = self.admin_process.metrics.listen(_wanted(facts, "metrics"))
        return [
            *(f"{self.path}: server.listen: {fault}" for fault in faults),
            *(f"{self.path}: server.admin: {fault}" for fault in faults_of_admin),
            *(f"{self.path}: server.metrics: {fault}" for fault in faults_of_metrics),
        ]

    def bind_more(self, facts: ConfigSummary) -> list[str]:
        """Listen where another configuration says, too; the faults, if it can't be done: then all is as it was."""
        places = (
            ("listen", self.listeners, [tuple(address) for address in facts["listen"]]),
            ("admin", self.admin_process.listeners, _wanted(facts, "admin")),
            ("metrics", self.admin_process.metrics, _wanted(facts, "metrics")),
        )
        before = [list(listeners.sockets) for _, listeners, _ in places]
        for key, listeners, wanted in places:
            if faults := listeners.add(wanted):
                for (_, changed, _), addresses in zip(places, before, strict=True):
                    changed.listen(addresses)
                return [f"{self.path}: server.{key}: {fault}" for fault in faults]
        return []

    def put_in_force(self, facts: ConfigSummary) -> None:
        """Work by a configuration from now on."""
        self.facts = facts
        self.last_good.keep(facts["text"])
        self.log.style = facts["format"]
        self.warn(facts)
        self.workers.slots = facts["workers"]
        self.admin_process.wanted = bool(self.admin_process.listeners.sockets or self.admin_process.metrics.sockets)

    def warn(self, facts: ConfigSummary) -> None:
        """Log what the writer of a configuration hardly meant."""
        for warning in facts["warnings"]:
            self.log("config_warning", level="warning", warning=warning)

    def load(self) -> dict[str, Any]:
        """What is under way in all processes together."""
        tunnels = max(self.board.total(Column.TUNNELS), self.vault.tunnels)
        return {"tunnels": tunnels, "exchanges": self.board.total(Column.EXCHANGES)}

    def finish(self, code: int) -> None:
        """End now; whoever is left is killed."""
        for process in self.process_table.all.values():
            process.kill()
        if self.counts is not None:
            self.counts.remove()
            self.counts = None
        self.code = code

    def _vault_connection(self) -> tuple[dict[str, Any], list[int]]:
        arguments, fds = self.vault.vault_connection()
        return {**arguments, "path": str(self.path), "metrics": self._counts_path}, fds

    def _config(self) -> int | None:
        return text_file(self.facts["text"]) if self.facts else None

    def _orders(self) -> tuple[dict[str, Any], tuple[int, ...]]:
        return {"draining": self.draining is not None, "drains": self.drains}, self.listeners.fds

    @property
    def _counts_path(self) -> str | None:
        return None if self.counts is None else self.counts.path

    def _introduce_all(self) -> None:
        for worker in self.workers.all.values():
            if worker.slot and worker.state is not State.GONE:
                self.admin_process.introduce(worker)

    def _introduce_again(self, slots: Any) -> None:
        for slot, worker in self.workers.serving.items():
            if isinstance(slots, list) and slot in slots:
                self.admin_process.introduce(worker)

    # It is kept here because it must outlive whoever asked for it, and all workers who follow it.
    def _hear_admin(self, words: dict[str, Any]) -> None:
        drains = words.get("drains")
        if words.get("is") == "absent":
            self._introduce_again(words.get("slots"))
        if words.get("is") != "drains" or not _are_drains(drains):
            return
        underway = self.drains is not self.followed
        self.drains = drains
        if not underway:
            self._have_drains_followed()

    # One at a time, and the newest wins: an answer doesn't say to which order.
    def _have_drains_followed(self) -> None:
        drains = self.drains
        self.workers.tell("drains", "drains_set", drains=drains)

        def followed() -> bool:
            if self.workers.owes("drains_set"):
                return False
            self.followed = drains
            self.log("drains", drains=drains)
            self.admin_process.tell()
            if self.drains is not drains:
                self._have_drains_followed()
            return True

        self.steps.append(followed)

    def _admin_arguments(self) -> dict[str, Any]:
        return {"path": str(self.path), "format": self.facts["format"], "metrics": self._counts_path}

    def _admin_facts(self) -> dict[str, Any]:
        return {
            "generation": self.generation,
            "workers": self.workers.slots,
            "draining": self.draining is not None,
            "drains": self.followed,
            "reload": vars(self.reloads),
            "restarts": self.workers.restarts,
            "listen": self.admin_process.listeners.names,
        }


def _are_drains(drains: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(drains, dict)
        and "all" in drains
        and isinstance(drains.get("pods"), dict)
        and isinstance(drains.get("routes"), dict)
    )


def _wanted(facts: ConfigSummary, key: str) -> list[tuple[str, int]]:
    return [tuple(facts[key])] if facts[key] else []
