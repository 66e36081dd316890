"""The ways to end: drain, stop, hand over."""

from __future__ import annotations

import time

from setproctitle import setproctitle

from splicer.supervisor.desk import Desk
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.processes import State

_STOP = 3.0  # seconds for the workers to close everything
_UNREAD = 10.0  # seconds for the file to be read when a drain is asked for before
_GRACE = 1.0  # seconds for tunnels that a drain's deadline ends
_HANDOVER = 10.0  # seconds for exchanges under way, and clients' last requests, when all is handed over
_LAST_REQUESTS = 5.5  # seconds in which workers end client connections without a request


class Ending:
    """Ends one `splicer run`.

    Args:
        desk: the supervisor's.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked: float | None = None  # when a drain was, on the monotonic clock
        self._last_requests = 0.0  # until when one is waited for in a drain, on the same clock

    def drain(self) -> None:
        """SIGTERM: what is under way may finish, in all workers; nothing new begins. A second one stops."""
        desk = self._desk
        if self._asked is not None or desk.stopping or desk.draining is not None:
            self.stop()
            return
        asked = self._asked = time.monotonic()
        if not self._begin(asked):
            desk.steps.append(lambda: self._begin(asked))

    # While the file is being read nobody knows how long a drain may take; and a vault may have calls already, which
    # only a worker can carry on.
    def _begin(self, asked: float) -> bool:
        desk = self._desk
        if desk.stopping:
            return True
        if not desk.facts:
            if too_late := time.monotonic() > asked + _UNREAD:
                self.stop()
            return too_late
        seconds = desk.facts["drain"]
        desk.draining = time.monotonic() + seconds
        desk.crew.tell("drain", "draining")

        def begun() -> bool:
            if desk.crew.owes("draining"):
                return False
            desk.say("drain", **desk.load(), seconds=seconds)
            desk.vault.doubt()
            desk.attendant.tell()
            self.go_on_draining()
            return True

        desk.steps.append(begun)
        return True

    def go_on_draining(self) -> None:
        """Wait for the end of a drain that has begun, if one has."""
        if self._desk.draining is not None:
            self._last_requests = time.monotonic() + _LAST_REQUESTS
            self._desk.steps.append(self._drained)

    def stop(self) -> None:
        """SIGINT: close everything now."""
        if not self._desk.stopping:
            self._desk.vault.keep(Listeners())
            self._dismiss(_STOP, *State)

    def hand_over(self) -> None:
        """SIGQUIT: leave all calls to a vault that outlives this process, also during a drain."""
        desk = self._desk
        if (lack := desk.vault.lack) is not None:
            desk.say("handover_refused", level="error", reason=lack)
        elif not desk.stopping:
            desk.say("handover", **desk.load())
            setproctitle(f"splicer: handing over {desk.path}")  # who has asked for it sees that it was not refused
            desk.crew.leave(_HANDOVER)
            self._dismiss(_HANDOVER + _STOP, State.STARTING, State.IMPORTED, State.READY)

    # A worker that has just died counts too: its tunnels are in the vault, until another has closed them.
    def _drained(self) -> bool:
        desk = self._desk
        if desk.stopping or desk.draining is None:
            return True
        waits = desk.board.asking and time.monotonic() < self._last_requests
        if any(desk.load().values()):
            desk.vault.doubt()
        elif not waits and desk.vault.found_empty():
            self.stop()
            return True
        if time.monotonic() < desk.draining:
            return False
        desk.say("drain_expired", level="warning", **desk.load())
        desk.crew.tell("expire")
        late = time.monotonic() + _GRACE
        desk.steps.append(lambda: self._stop_at(late))
        return True

    def _stop_at(self, late: float) -> bool:
        if time.monotonic() < late:
            return False
        self.stop()
        return True

    def _dismiss(self, seconds: float, *states: State) -> None:
        desk = self._desk
        desk.stopping = True
        desk.crew.slots = desk.crew.spares = 0
        desk.crew.dismiss(*states)
        desk.attendant.wanted = False
        desk.attendant.dismiss()
        late = time.monotonic() + seconds

        def over() -> bool:
            if desk.fleet.all and time.monotonic() < late:
                return False
            desk.listeners.close()
            desk.attendant.listeners.close()
            desk.attendant.metrics.close()
            desk.say("stopped")
            desk.finish(0)
            return True

        desk.steps.append(over)
