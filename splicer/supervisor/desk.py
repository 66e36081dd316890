"""What the parts of the supervisor share: the processes, what is known of the configuration, what is awaited."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from pathlib import Path
from typing import Any

from splicer.control.board import Board, Column
from splicer.control.wire import text_file
from splicer.supervisor.attendant import Attendant
from splicer.supervisor.crew import Crew
from splicer.supervisor.fleet import Fleet
from splicer.supervisor.inspection import Facts
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.say import Say
from splicer.supervisor.vaults import Vault


class Desk:
    """One `splicer run`, seen from its supervisor.

    Args:
        path: the routing.toml.
        say: the log.
        vault: holds the tunnels.
        selector: the loop's.
        board: where the processes show their numbers.
        listeners: those that are there already.
    """

    def __init__(
        self,
        path: Path,
        say: Say,
        vault: Vault,
        selector: selectors.BaseSelector,
        board: Board,
        listeners: Listeners,
    ) -> None:
        self.path = path
        self.say = say
        self.vault = vault
        self.selector = selector
        self.board = board
        self.listeners = listeners
        self.fleet = Fleet(selector, board, say)
        self.crew = Crew(self.fleet, say, self._equip, self._config, self._orders, lambda: bool(vault.tunnels))
        self.attendant = Attendant(self.fleet, say, self._admin_arguments, self._admin_facts)
        self.facts: Facts = {}  # what a child said of the configuration in force
        self.generation = 0
        self.asked = 0  # how often a reload was asked for
        self.draining: float | None = None  # until when, on the monotonic clock
        self.stopping = False
        self.code: int | None = None  # the exit code, once all is over
        self.steps: list[Callable[[], bool]] = []  # what is awaited: each is asked again until it says True

    def bind(self, facts: Facts) -> list[str]:
        """Listen where the configuration says, and nowhere else; the faults."""
        self.vault.recover(self.listeners)
        if self.vault.refusal is not None:
            return [self.vault.refusal]
        faults = self.listeners.listen(tuple(address) for address in facts["listen"])
        self.vault.keep(self.listeners)
        faults_of_admin = self.attendant.listeners.listen([tuple(facts["admin"])] if facts["admin"] else [])
        return [
            *(f"{self.path}: server.listen: {fault}" for fault in faults),
            *(f"{self.path}: server.admin: {fault}" for fault in faults_of_admin),
        ]

    def bind_more(self, facts: Facts) -> list[str]:
        """Listen where another configuration says, too; the faults, if it can't be done: then all is as it was."""
        admin = [tuple(facts["admin"])] if facts["admin"] else []
        faults = [f"{self.path}: server.listen: {fault}" for fault in self.listeners.add(map(tuple, facts["listen"]))]
        return faults or [f"{self.path}: server.admin: {fault}" for fault in self.attendant.listeners.add(admin)]

    def put_in_force(self, facts: Facts) -> None:
        """Work by a configuration from now on."""
        self.facts = facts
        self.say.style = facts["format"]
        self.warn(facts)
        self.crew.slots = facts["workers"]
        self.attendant.wanted = bool(self.attendant.listeners.sockets)

    def warn(self, facts: Facts) -> None:
        """Log what the writer of a configuration hardly meant."""
        for warning in facts["warnings"]:
            self.say("config_warning", level="warning", warning=warning)

    def load(self) -> dict[str, Any]:
        """What is under way in all processes together."""
        tunnels = max(self.board.total(Column.TUNNELS), self.vault.tunnels)
        return {"tunnels": tunnels, "exchanges": self.board.total(Column.EXCHANGES)}

    def finish(self, code: int) -> None:
        """End now; whoever is left is killed."""
        for process in self.fleet.all.values():
            process.kill()
        self.code = code

    def _equip(self) -> tuple[dict[str, Any], list[int]]:
        arguments, fds = self.vault.equip()
        return {**arguments, "path": str(self.path)}, fds

    def _config(self) -> int | None:
        return text_file(self.facts["text"]) if self.facts else None

    def _orders(self) -> tuple[dict[str, Any], tuple[int, ...]]:
        return {"draining": self.draining is not None}, self.listeners.fds

    def _admin_arguments(self) -> dict[str, Any]:
        return {"path": str(self.path), "format": self.facts["format"]}

    def _admin_facts(self) -> dict[str, Any]:
        return {
            "generation": self.generation,
            "workers": self.crew.slots,
            "draining": self.draining is not None,
            "listen": self.attendant.listeners.names,
        }
