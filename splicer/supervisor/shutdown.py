"""The three ways to end an edge: drain, stop, and handover."""

from __future__ import annotations

import time

from setproctitle import setproctitle

from splicer.ipc.messages import Drain, Expire
from splicer.supervisor.edge_state import EdgeState
from splicer.supervisor.outcomes import Topic
from splicer.supervisor.processes import State

_STOP_TIMEOUT = 3.5  # seconds for the workers to close everything, and for the admin process to send the last spans
_READ_TIMEOUT = 10.0  # seconds for the first reading of the file, if a drain is asked for before
_CLOSE_TIMEOUT = 1.0  # seconds for tunnels that are ended by the drain's deadline
_HANDOVER_TIMEOUT = 10.0  # seconds for exchanges in flight, and clients' last requests, at a handover
_LAST_REQUEST_SECONDS = 5.5  # seconds in which workers end idle client connections


class Shutdown:
    """Ends one `splicer run`.

    Args:
        edge: the state shared by the supervisor's parts.
    """

    def __init__(self, edge: EdgeState) -> None:
        self._edge = edge
        self._asked: float | None = None  # when a drain was asked for, on the monotonic clock
        self._last_requests = 0.0  # the deadline for clients' last requests in a drain, on the same clock
        self.handing_over = False

    def drain(self) -> None:
        """SIGTERM: exchanges and calls finish, in all workers, and no new ones begin. A second SIGTERM stops."""
        edge = self._edge
        if self._asked is not None or edge.stopping or edge.draining is not None:
            self.stop()
            return
        asked = self._asked = time.monotonic()
        if not self._begin(asked):
            edge.steps.append(lambda: self._begin(asked))

    # Before the file has been read, the deadline of a drain is unknown; and a vault may have calls already, which only
    # a worker can continue.
    def _begin(self, asked: float) -> bool:
        edge = self._edge
        if edge.stopping:
            return True
        if edge.summary is None:
            if too_late := time.monotonic() > asked + _READ_TIMEOUT:
                self.stop()
            return too_late
        seconds = edge.summary.drain
        edge.draining = time.monotonic() + seconds
        request = edge.workers.request(Drain)

        def begun() -> bool:
            if edge.workers.awaits(request):
                return False
            edge.log("drain", **edge.load(), seconds=seconds)
            edge.vault.invalidate_count()
            edge.admin_process.tell()
            self.go_on_draining()
            return True

        edge.steps.append(begun)
        return True

    def go_on_draining(self) -> None:
        """Wait for the end of a drain, if one has begun."""
        if self._edge.draining is not None:
            self._last_requests = time.monotonic() + _LAST_REQUEST_SECONDS
            self._edge.steps.append(self._drained)

    def stop(self) -> None:
        """SIGINT: close everything now."""
        if not self._edge.stopping:
            self._edge.vault.keep({})
            self._dismiss(_STOP_TIMEOUT, *State)

    def hand_over(self) -> None:
        """SIGQUIT: leave all calls to a vault that outlives this process, also during a drain."""
        edge = self._edge
        if (why_not_durable := edge.vault.why_not_durable) is not None:
            edge.log("handover_refused", level="error", reason=why_not_durable)
            edge.outcomes.fail(Topic.HANDOVER, f"refused, and the edge goes on: {why_not_durable}")
        elif not edge.stopping:
            self.handing_over = True
            edge.log("handover", **edge.load())
            setproctitle(f"splicer: handing over {edge.path}")  # commands must not find it any more
            edge.workers.leave(_HANDOVER_TIMEOUT)
            self._dismiss(_HANDOVER_TIMEOUT + _STOP_TIMEOUT, State.STARTING, State.IMPORTED, State.READY)

    # Tunnels of a worker that has just died count too: they are in the vault until another worker has closed them.
    def _drained(self) -> bool:
        edge = self._edge
        if edge.stopping or edge.draining is None:
            return True
        waits = edge.board.asking and time.monotonic() < self._last_requests
        if any(edge.load().values()):
            edge.vault.invalidate_count()
        elif not waits and edge.vault.confirm_empty():
            self.stop()
            return True
        if time.monotonic() < edge.draining:
            return False
        edge.log("drain_expired", level="warning", **edge.load())
        edge.workers.tell(Expire())
        late = time.monotonic() + _CLOSE_TIMEOUT
        edge.steps.append(lambda: self._stop_at(late))
        return True

    def _stop_at(self, late: float) -> bool:
        if time.monotonic() < late:
            return False
        self.stop()
        return True

    def _dismiss(self, seconds: float, *states: State) -> None:
        edge = self._edge
        edge.stopping = True
        edge.outcomes.fail_others(Topic.HANDOVER, "the edge is stopping")
        edge.template.end()
        edge.workers.slots = edge.workers.spares = 0
        edge.workers.dismiss(*states)
        for process in edge.side_processes:
            process.want(wanted=False)
        late = time.monotonic() + seconds
        edge.tls.end()

        def over() -> bool:
            if edge.process_table.all and time.monotonic() < late:
                return False
            edge.listeners.close()
            edge.log("stopped")
            self._tell_of_handover()
            edge.finish(0)
            return True

        edge.steps.append(over)

    # A process that still runs is killed; the vault has its calls, as after any other death.
    def _tell_of_handover(self) -> None:
        edge = self._edge
        if (why_not_durable := edge.vault.why_not_durable) is not None:
            edge.outcomes.fail(Topic.HANDOVER, f"the edge has ended, but its calls may be lost: {why_not_durable}")
        else:
            where = f"calls in the vault at {edge.vault.path}"
            edge.outcomes.succeed(Topic.HANDOVER, f"handed over; {where}: {edge.vault.tunnels}")
