"""New workers in the place of living ones, and new code in the place of the old. Calls don't notice.

SIGUSR1 renews the workers, one after another: each hands its tunnels over and exits. SIGUSR2 turns this very process
into the code that is on disk now, with every descriptor where it is, and then renews the workers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from splicer.control.wire import text_file
from splicer.supervisor.desk import Desk, Reloads
from splicer.supervisor.inspection import Facts, Inspection
from splicer.supervisor.launch import become
from splicer.supervisor.processes import Process, State
from splicer.supervisor.state import SupervisorState, fields

_FLUSH = 0.2  # seconds for the log before an exec


class Renewal:
    """Renews workers and code.

    Args:
        desk: the supervisor's.
        leave_off: ends what a child does for this program, and nobody will hear of after an exec.
    """

    def __init__(self, desk: Desk, leave_off: Callable[[], None]) -> None:
        self._desk = desk
        self._leave_off = leave_off
        self._rehearsal = Inspection(desk.selector)
        self._asked = 0
        self._slots: list[int] = []  # those whose workers are still to be replaced
        self._word = ""  # what the log says when all are

    @property
    def underway(self) -> bool:
        """Whether anything is still the old one."""
        return self._rehearsal.underway or bool(self._word)

    def expire(self) -> None:
        """Give up a rehearsal that takes too long; call it again and again."""
        self._rehearsal.expire()

    def close(self) -> None:
        """Forget what is under way."""
        self._rehearsal.close()
        self._slots, self._word = [], ""

    def recycle(self, word: str) -> None:
        """Replace every worker; `word` is what the log says at the end."""
        self._slots = list(range(1, self._desk.crew.slots + 1))
        self._word = word

    def go_on(self) -> None:
        """Replace the next worker, if it is its turn."""
        crew = self._desk.crew
        if not self._word or not crew.complete or any(one.state is State.LEAVING for one in crew.all.values()):
            return
        if not self._slots:
            self._desk.say(self._word, workers=crew.slots)
            self._word = ""
        elif crew.replace(self._slots[0]):
            self._slots.pop(0)

    # A child that runs the new code goes through all that could fail: after the exec there is no way back.
    def upgrade(self) -> None:
        """Go on with the code and the configuration now on disk."""
        desk = self._desk
        if desk.stopping or not desk.facts:
            self._refuse(["the edge is starting or stopping"])
            return
        self._asked = desk.asked
        state = json.dumps(self._state()[0])
        self._rehearsal.ask("splicer.supervisor.rehearse", desk.path, self._exec, text=state)

    def _exec(self, facts: Facts) -> None:
        desk = self._desk
        if desk.stopping:
            return
        if "faults" in facts:
            self._refuse(facts["faults"])
            return
        if faults := desk.bind_more(facts):
            self._refuse(faults)
            return
        self._leave_off()
        desk.crew.dismiss(State.STARTING, State.IMPORTED, State.READY)
        desk.attendant.dismiss()
        state, fds = self._state()
        paper = text_file(json.dumps({**state, "facts": facts, "fds": fds}))
        desk.say("upgrade")
        desk.say.close(_FLUSH)
        try:
            reread = desk.asked != self._asked  # a reload has been asked for since the file was read for this
            arguments = {
                "path": str(desk.path),
                "vault": desk.vault.path,
                "state": paper,
                "reread": reread,
                "watch": desk.watch.on,
                "last_good": None if desk.last_good.path is None else str(desk.last_good.path),
                "read": facts.get("read"),
            }
            with desk.notify.exported():
                become("splicer.supervisor", arguments, [paper, *fds])
        except OSError as error:
            desk.say.reopen()
            self._refuse([f"{error.filename}: {error.strerror}"])
        finally:
            os.close(paper)

    def _refuse(self, faults: list[str]) -> None:
        for fault in faults:
            self._desk.say("upgrade_fault", level="error", fault=fault)
        self._desk.say("upgrade_failed", level="error", kept="the old code")

    def _state(self) -> tuple[dict[str, Any], list[int]]:
        desk = self._desk
        processes = list(desk.fleet.all.values())
        listeners, admin = desk.listeners.by_address, desk.attendant.listeners.by_address
        holder, held = desk.vault.state()
        metrics, counts = desk.attendant.metrics.by_address, desk.counts
        state = fields(
            desk.facts,
            desk.generation,
            desk.draining,
            desk.board.fd,
            listeners,
            admin,
            metrics,
            processes,
            holder,
            None if counts is None else (counts.path, counts.fd),
            desk.drains,
            vars(desk.reloads),
            desk.crew.restarts,
        )
        sockets = (*listeners.values(), *admin.values(), *metrics.values())
        fds = [*sockets, *(process.sock.fileno() for process in processes), *held]
        if counts is not None:
            fds.append(counts.fd)
        return state, [desk.board.fd, *fds]

    def resume(self, state: SupervisorState) -> None:
        """Go on as the supervisor that this process was before the exec."""
        desk = self._desk
        desk.generation = state.generation + 1
        desk.draining = state.draining
        desk.drains = desk.followed = state.drains or desk.drains
        desk.reloads = Reloads(**state.reloads) if state.reloads else desk.reloads
        desk.reloads.last_ok = True  # the file was read for this, and is in force
        desk.crew.restarts = state.restarts
        desk.attendant.listeners.restore(state.admin)
        desk.attendant.metrics.restore(state.metrics)
        for one in state.crew:
            desk.crew.adopt(Process.restore(one.pid, one.row, one.fd, one.state, one.slot, one.version))
        for fault in desk.bind(state.facts):
            desk.say("upgrade_fault", level="error", fault=fault)
        desk.put_in_force(state.facts)
        desk.crew.retire_surplus()
        self.recycle("upgraded")
