"""Replacing live workers by new ones, and the code by new code, without affecting calls.

SIGUSR1 replaces the workers, one after another: each hands its tunnels over and exits. SIGUSR2 executes the code that
is on disk now in this same process, with all descriptors kept, and then replaces the workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from splicer.ipc.arguments import SupervisorArguments
from splicer.ipc.codec import to_json
from splicer.ipc.facts import ConfigSummary, Faults
from splicer.ipc.wire import text_file
from splicer.supervisor.config_probe import ConfigProbe
from splicer.supervisor.edge_state import EdgeState
from splicer.supervisor.launch import PREFLIGHT, SUPERVISOR, TLS, become
from splicer.supervisor.listeners import fds_of
from splicer.supervisor.outcomes import Topic
from splicer.supervisor.processes import Process, State
from splicer.supervisor.state import CountsState, ProcessState, SupervisorState

_LOG_FLUSH_TIMEOUT = 0.2  # seconds for the log before an exec
_MAX_FAILURES = 5  # new workers in a row that may fail before a recycle is reported as failed


class Upgrade:
    """Replaces workers and code.

    Args:
        edge: the state shared by the supervisor's parts.
        leave_off: ends a child whose result would be lost by the exec.
    """

    def __init__(self, edge: EdgeState, leave_off: Callable[[], None]) -> None:
        self._edge = edge
        self._leave_off = leave_off
        self._preflight = ConfigProbe(edge.selector)
        self._asked = 0
        self._slots: list[int] = []  # slots whose workers are still to be replaced
        self._word = ""  # the log event when all are replaced

    @property
    def underway(self) -> bool:
        """Whether a preflight or a replacement of workers is in progress."""
        return self._preflight.underway or bool(self._word)

    def expire(self) -> None:
        """Give up a preflight that takes too long; call this regularly."""
        self._preflight.expire()

    def close(self) -> None:
        """Give up a preflight or a replacement of workers in progress."""
        self._preflight.close()
        self._slots, self._word = [], ""

    def recycle(self, word: str) -> None:
        """Replace every worker; `word` is the log event at the end."""
        self._slots = list(range(1, self._edge.workers.slots + 1))
        self._word = word

    def go_on(self) -> None:
        """Replace the next worker if all others serve; call this in each turn of the loop."""
        workers, outcomes = self._edge.workers, self._edge.outcomes
        if self._word and workers.backoff.failures >= _MAX_FAILURES:
            outcomes.fail(
                Topic.RENEWAL,
                f"{workers.backoff.failures} new workers in a row have failed: worker_died in the log says why",
                "the edge goes on with those that serve, and tries again and again",
            )
        if not self._word or not workers.complete or any(one.state is State.LEAVING for one in workers.all.values()):
            return
        if not self._slots:
            self._edge.log(self._word, workers=workers.slots)
            outcomes.succeed(Topic.RENEWAL, f"{self._word}: {workers.slots} new workers serve")
            self._word = ""
        elif workers.replace(self._slots[0]):
            self._slots.pop(0)

    # A child first tries everything that could fail with the new code: after the exec there is no way back.
    def upgrade(self) -> None:
        """Replace this program by the code on disk, with the configuration on disk."""
        edge = self._edge
        if edge.stopping or edge.summary is None:
            self._refuse(["the edge is starting or stopping"])
            return
        self._asked = edge.asked
        state = to_json(self._state(edge.summary))
        try:
            self._preflight.ask(PREFLIGHT, edge.path, self._exec, text=state)
        except OSError as error:
            self._refuse([f"no process can be had that tries the new code: {error.strerror}"])

    def _exec(self, found: ConfigSummary | Faults) -> None:
        edge = self._edge
        if edge.stopping:
            return
        if isinstance(found, Faults):
            self._refuse(found.faults)
            return
        if faults := edge.bind_more(found):
            self._refuse(faults)
            return
        self._leave_off()
        edge.workers.dismiss(State.STARTING, State.IMPORTED, State.READY)
        edge.dismiss_side_processes()
        edge.template.close()
        state = self._state(found)
        paper = text_file(to_json(state))
        edge.log("upgrade")
        edge.log.close(_LOG_FLUSH_TIMEOUT)
        try:
            arguments = SupervisorArguments(
                str(edge.path),
                edge.vault.path,
                edge.watch.on,
                None if edge.last_good.path is None else str(edge.last_good.path),
                state=paper,
                reread=edge.asked != self._asked,  # a reload has been asked for since the file was read for this
                read=found.read,
                made=edge.made,
            )
            with edge.notify.exported():
                become(SUPERVISOR, arguments, [paper, *state.fds])
        except OSError as error:
            edge.log.reopen()
            self._refuse([f"{error.filename}: {error.strerror}"])
            edge.outcomes.fail(Topic.READING, "given up for an upgrade that has failed; reload again")
        finally:
            os.close(paper)

    def _refuse(self, faults: Sequence[str]) -> None:
        for fault in faults:
            self._edge.log("upgrade_fault", level="error", fault=fault)
        self._edge.log("upgrade_failed", level="error", kept="the old code")
        self._edge.outcomes.fail(Topic.PREFLIGHT, *faults, "not upgraded; the old code goes on")

    def _state(self, summary: ConfigSummary) -> SupervisorState:
        edge = self._edge
        processes = list(edge.process_table.all.values())
        holder, held = edge.vault.state()
        counts = None if edge.counts is None else CountsState(edge.counts.path, edge.counts.fd)
        control = edge.control.state
        fds = [*edge.board.fds, *fds_of(edge.listeners), *(process.sock.fileno() for process in processes), *held]
        if counts is not None:
            fds.append(counts.fd)
        if control is not None:
            fds += [control.fd, *(fd for fd, _ in control.clients)]
        return SupervisorState(
            fds=tuple(fds),
            summary=summary,
            generation=edge.generation,
            draining=edge.draining,
            board=edge.board.fd,
            listeners={name: listeners.bound for name, listeners in edge.listeners.items()},
            processes=tuple(map(ProcessState.of, processes)),
            holder=holder,
            counts=counts,
            drains=edge.drains,
            reloads=edge.reloads,
            restarts=edge.workers.restarts,
            control=control,
            last_request=edge.process_table.last_request,
            routes=edge.board.routes.fd,
            loads=edge.board.loads.fd,
            endpoints=edge.board.endpoints,
            tls=edge.board.tls,
            tls_generation=edge.tls.generation,
            tls_in_vault=edge.tls_in_vault,
            connects=edge.board.connects.fd,
        )

    def resume(self, state: SupervisorState) -> None:
        """Continue the state of the supervisor before the exec."""
        edge = self._edge
        edge.generation = state.generation + 1
        edge.draining = state.draining
        edge.drains = edge.followed = state.drains
        edge.reloads = replace(state.reloads, last_ok=True)  # the file was read for this, and is in force
        edge.workers.restarts = state.restarts
        edge.process_table.count_requests_from(state.last_request)
        edge.tls.restore(state.summary.tls, state.tls_generation + 1)
        for one in state.processes:
            process = Process.restore(one.pid, one.row, one.fd, one.state, one.slot, one.version, one.mover)
            process.module = one.module
            owner = edge.tls if one.module == TLS else edge.workers
            owner.adopt(process)
        for fault in edge.bind(state.summary):
            edge.log("upgrade_fault", level="error", fault=fault)
        edge.put_in_force(state.summary)
        edge.workers.retire_surplus()
        self.recycle("upgraded")
