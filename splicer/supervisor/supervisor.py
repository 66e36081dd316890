"""The one process that must not fail: it binds, holds the vault, starts the others, and hears the signals.

It reads neither what clients send nor the configuration: a child checks the file, and the workers get the text that
was accepted from here, never from disk. So a broken file and a dead worker together take nothing down.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from splicer.control.board import Board, Column
from splicer.control.wire import text_file
from splicer.supervisor.attendant import Attendant
from splicer.supervisor.crew import Crew
from splicer.supervisor.fleet import Fleet
from splicer.supervisor.inspection import Facts, Inspection
from splicer.supervisor.launch import SIGNALS, become
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.processes import State
from splicer.supervisor.say import Say
from splicer.supervisor.state import fields
from splicer.supervisor.vaults import Vault

_TICK = 1.0  # seconds
_BUSY_TICK = 0.02  # seconds, while something is awaited that no descriptor tells of
_STOP = 3.0  # seconds for the workers to close everything
_FLUSH = 0.2  # seconds for the log before an exec
_GRACE = 1.0  # seconds for tunnels that a drain's deadline ends
_HANDOVER = 5.0  # seconds for exchanges under way when all is handed over
_HOPELESS = 5  # workers in a row that fail before one has ever served


class Supervisor:
    """Runs the processes of one `splicer run`.

    Args:
        path: the routing.toml.
        say: the log.
        vault: holds the tunnels.
        selector: its loop's.
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
        self.facts: Facts = {}
        self.generation = 0
        self.draining: float | None = None  # until when, on the monotonic clock
        self.was_ready = False
        self.fleet = Fleet(selector, board, say)
        self.crew = Crew(self.fleet, say, self._equip, self._config, self._orders, lambda: bool(vault.tunnels))
        self.attendant = Attendant(self.fleet, say, self._admin_arguments, self._admin_facts)
        self.recycling: list[int] = []  # slots whose workers are still to be replaced
        self.recycled = ""  # what to say when all are
        self._inspection = Inspection(selector)
        self._rehearsal = Inspection(selector)
        self._steps: list[Callable[[], bool]] = []  # what is awaited: each is asked again until it says True
        self._stopping = False
        self._code: int | None = None

    def run(self) -> int:
        """Serve until all is over; the exit code."""
        wake = _wake_up_on_signals()
        self.selector.register(wake, selectors.EVENT_READ, lambda _: self._hear_signals(wake))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        due = time.monotonic() + _TICK
        while self._code is None:
            self._guarded(self.crew.fill)
            self._guarded(self.attendant.fill)
            patience = _BUSY_TICK if self._steps else due - time.monotonic()
            if not self.crew.complete:
                patience = min(patience, _BUSY_TICK * 2)
            for key, events in self.selector.select(max(0.0, patience)):
                self._guarded(key.data, events)
            if time.monotonic() >= due:
                due = time.monotonic() + _TICK
                self._guarded(self.fleet.tick)
                self._guarded(self.vault.tidy)
            self._guarded(self._look)
            self._steps = [step for step in self._steps if not self._guarded(step)]
        self._inspection.close()
        self._rehearsal.close()
        return self._code

    def start(self) -> None:
        """Begin: the first worker is started while a child reads the file."""
        self._inspection.ask("splicer.control.inspect", self.path, self._begin)

    def _begin(self, facts: Facts) -> None:
        faults = facts.get("faults") or self._bind(facts)
        if faults:
            for fault in faults:
                print(f"splicer: {fault}", file=sys.stderr)  # noqa: T201 - to whoever has typed the command
            self._finish(1)
            return
        self._put_in_force(facts)

    def _bind(self, facts: Facts) -> list[str]:
        self.vault.recover(self.listeners)
        faults = self.listeners.listen(tuple(address) for address in facts["listen"])
        self.vault.keep(self.listeners)
        admin = [tuple(facts["admin"])] if facts["admin"] else []
        faults_of_admin = self.attendant.listeners.listen(admin)
        return [
            *(f"{self.path}: server.listen: {fault}" for fault in faults),
            *(f"{self.path}: server.admin: {fault}" for fault in faults_of_admin),
        ]

    def _put_in_force(self, facts: Facts) -> None:
        self.facts = facts
        self.say.style = facts["format"]
        for warning in facts["warnings"]:
            self.say("config_warning", level="warning", warning=warning)
        self.crew.slots = facts["workers"]
        self.attendant.wanted = bool(self.attendant.listeners.sockets)

    # What one connection, one child or one message does wrong must not end the calls of all.
    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - logged; the supervisor is the one that must not fail
            text = "".join(traceback.format_exception(error))[-2000:]
            self.say("supervisor_error", level="error", error=repr(error), traceback=text)

    def _hear_signals(self, wake: socket.socket) -> None:
        with suppress(BlockingIOError):
            for signum in wake.recv(256):
                self._guarded(self._on_signal, signum)

    def _on_signal(self, signum: int) -> None:
        match signum:
            case signal.SIGCHLD:
                self._reap()
            case signal.SIGHUP:
                self._inspection.ask("splicer.control.inspect", self.path, self._reload, text=self.facts.get("text"))
            case signal.SIGTERM if self.draining is None and not self._stopping and self.crew.serving:
                self._drain()
            case signal.SIGTERM | signal.SIGINT:
                self._stop()
            case signal.SIGUSR1:
                self.recycle("recycled")
            case signal.SIGUSR2:
                self._upgrade()
            case signal.SIGQUIT:
                self._hand_over()

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self.fleet.died(*ended)

    def _look(self) -> None:
        crew = self.crew
        if crew.complete and not self.was_ready:
            self.was_ready = True
            self.say("ready", listen=self.listeners.names, workers=crew.slots)
        if not self.was_ready and crew.backoff.failures >= _HOPELESS and not crew.serving:
            print("splicer: no worker can be started; the log says why", file=sys.stderr)  # noqa: T201
            self._finish(1)
        if self.recycling or self.recycled:
            self._recycle_one()

    def _equip(self) -> tuple[dict[str, Any], list[int]]:
        arguments, fds = self.vault.equip()
        return {**arguments, "path": str(self.path)}, fds

    def _config(self) -> int | None:
        return text_file(self.facts["text"]) if self.facts else None

    def _admin_arguments(self) -> dict[str, Any]:
        return {"path": str(self.path), "format": self.facts["format"]}

    def _admin_facts(self) -> dict[str, Any]:
        return {
            "generation": self.generation,
            "workers": self.crew.slots,
            "draining": self.draining is not None,
            "listen": self.attendant.listeners.names,
        }

    def _orders(self) -> tuple[dict[str, Any], tuple[int, ...]]:
        return {"draining": self.draining is not None}, self.listeners.fds

    # ---- reload ----

    def _reload(self, facts: Facts) -> None:
        if "faults" in facts:
            for fault in facts["faults"]:
                self.say("reload_fault", level="error", fault=fault)
            self.say("reload_failed", level="error", file=str(self.path), kept="the old routes")
            return
        self.generation += 1
        fixed = {key: self.facts[key] for key in ("listen", "admin", "metrics", "workers", "format")}
        self.facts = {**facts, **fixed}
        for warning in facts["warnings"]:
            self.say("config_warning", level="warning", warning=warning)
        for key in facts["needs_restart"]:
            self.say("reload_needs_restart", level="warning", key=key)
        config = text_file(facts["text"])
        self.crew.tell("reload", "reloaded", (config,), generation=self.generation)
        os.close(config)

        def applied() -> bool:
            if self.crew.owes("reloaded"):
                return False
            self.say("reload", file=str(self.path), changes=facts["changes"] or ["nothing"])
            self.attendant.tell()
            return True

        self._steps.append(applied)

    # ---- recycle: one worker after another hands its tunnels over and exits ----

    def recycle(self, word: str) -> None:
        """Replace every worker; `word` is what the log says at the end."""
        self.recycling = list(range(1, self.crew.slots + 1))
        self.recycled = word

    def _recycle_one(self) -> None:
        crew = self.crew
        if not crew.complete or any(worker.state is State.LEAVING for worker in crew.all.values()):
            return
        if not self.recycling:
            self.say(self.recycled, workers=crew.slots)
            self.recycled = ""
        elif crew.replace(self.recycling[0]):
            self.recycling.pop(0)

    # ---- upgrade ----

    # A child that runs the new code goes through all that could fail; only then there is no way back.
    def _upgrade(self) -> None:
        if self._stopping or not self.was_ready:
            self.say("upgrade_failed", level="error", kept="the old code", reason="it is starting or stopping")
            return
        state = json.dumps(self._state()[0])
        self._rehearsal.ask("splicer.supervisor.rehearse", self.path, self._exec, text=state)

    def _exec(self, facts: Facts) -> None:
        if "faults" in facts:
            for fault in facts["faults"]:
                self.say("upgrade_fault", level="error", fault=fault)
            self.say("upgrade_failed", level="error", kept="the old code")
            return
        self._inspection.close()
        self.crew.dismiss(State.STARTING, State.IMPORTED, State.READY)
        self.attendant.dismiss()
        state, fds = self._state()
        paper = text_file(json.dumps({**state, "facts": facts, "fds": fds}))
        self.say("upgrade")
        self.say.close(_FLUSH)
        arguments = {"path": str(self.path), "vault": self.vault.path, "state": paper}
        try:
            become("splicer.supervisor", arguments, [paper, *fds])
        except OSError as error:
            os.close(paper)
            self.say.reopen()
            self.say("upgrade_failed", level="error", kept="the old code", reason=error.strerror)

    def _state(self) -> tuple[dict[str, Any], list[int]]:
        crew = list(self.fleet.all.values())
        listeners, admin = self.listeners.by_address, self.attendant.listeners.by_address
        holder, held = self.vault.state()
        state = fields(self.facts, self.generation, self.draining, self.board.fd, listeners, admin, crew, holder)
        fds = [*listeners.values(), *admin.values(), *(worker.sock.fileno() for worker in crew), *held]
        return state, [self.board.fd, *fds]

    def resume(self, draining: float | None) -> None:
        """Go on as the supervisor that this process was before its upgrade."""
        self.was_ready = True
        faults = self._bind(self.facts)
        for fault in faults:
            self.say("upgrade_fault", level="error", fault=fault)
        self._put_in_force(self.facts)
        self._reap()
        self.crew.retire_surplus()
        self.recycle("upgraded")
        if draining is not None:
            self.draining = draining
            self._steps.append(self._drained)

    # ---- the end ----

    def _drain(self) -> None:
        seconds = self.facts["drain"]
        self.draining = time.monotonic() + seconds
        self.crew.tell("drain", "draining")

        def begun() -> bool:
            if self.crew.owes("draining"):
                return False
            self.say("drain", **self._load(), seconds=seconds)
            self.attendant.tell()
            self._steps.append(self._drained)
            return True

        self._steps.append(begun)

    def _load(self) -> dict[str, Any]:
        tunnels = max(self.board.total(Column.TUNNELS), self.vault.tunnels)
        return {"tunnels": tunnels, "exchanges": self.board.total(Column.EXCHANGES)}

    def _drained(self) -> bool:
        if self._stopping:
            return True
        if not any(self._load().values()) and self.crew.complete:
            self._stop()
            return True
        if self.draining is not None and time.monotonic() >= self.draining:
            self.say("drain_expired", level="warning", **self._load())
            self.crew.tell("expire")
            late = time.monotonic() + _GRACE
            self._steps.append(lambda: time.monotonic() >= late and self._stop())
            return True
        return False

    def _stop(self) -> bool:
        if not self._stopping:
            self._stopping = True
            self.vault.keep(Listeners())
            self._dismiss_all(_STOP)
        return True

    def _hand_over(self) -> None:
        if not self.vault.outlives_us:
            self.say("handover_refused", level="error", reason="there is no vault of its own container: --vault")
            return
        self.say("handover", **self._load())
        self._stopping = True
        self.crew.leave(_HANDOVER)
        self._dismiss_all(_HANDOVER + _STOP, State.STARTING, State.IMPORTED, State.READY)

    def _dismiss_all(self, seconds: float, *states: State) -> None:
        self.crew.slots = self.crew.spares = 0
        self.recycling, self.recycled = [], ""
        self.crew.dismiss(*(states or State))
        self.attendant.wanted = False
        self.attendant.dismiss()
        late = time.monotonic() + seconds

        def over() -> bool:
            if self.fleet.all and time.monotonic() < late:
                return False
            self.listeners.close()
            self.attendant.listeners.close()
            self.say("stopped")
            self._finish(0)
            return True

        self._steps.append(over)

    def _finish(self, code: int) -> None:
        for process in self.fleet.all.values():
            process.kill()
        self._code = code


def _wake_up_on_signals() -> socket.socket:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    for signum in SIGNALS:
        signal.signal(signum, lambda *_: None)
    return ours
