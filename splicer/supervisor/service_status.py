"""The status for a service manager: sd_notify(3), systemd.service(5).

The supervisor's loop compares it in each turn with the status sent last, and sends it if it differs. So each
``RELOADING=1`` is followed by ``READY=1``, however the reload ends, and a message that a full socket refused is sent
later.
"""

from __future__ import annotations

import time
from enum import Enum, auto

from splicer.supervisor.edge_state import EdgeState

_STATUS_INTERVAL = 1.0  # seconds between two messages in which only numbers differ
_EXTENSION_SECONDS = 30  # seconds by which each message extends the manager's timeout during a drain


class Phase(Enum):
    """The phases that the service manager distinguishes."""

    STARTING = auto()
    READY = auto()
    RELOADING = auto()  # the file is read, the code replaced, or the workers are replaced
    STOPPING = auto()  # a drain too: no new work is taken


class ServiceStatus:
    """Sends the status to the service manager.

    Args:
        edge: the state shared by the supervisor's parts.
    """

    def __init__(self, edge: EdgeState) -> None:
        self._edge = edge
        self._seen: Phase | None = None
        self._told: Phase | None = None
        self._status = ""
        self._due = 0.0

    def tell(self, *, ready: bool, reloading: bool) -> None:
        """Send the status if it has changed; call this in each turn of the loop.

        Args:
            ready: whether all workers have started to serve.
            reloading: whether a reload, a recycle or an upgrade is in progress.
        """
        edge, now = self._edge, time.monotonic()
        if not edge.notify.wanted:
            return
        edge.notify.beat()
        phase = self._look(ready=ready, reloading=reloading)
        if phase is self._seen and now < self._due:
            return
        self._seen, self._due = phase, now + _STATUS_INTERVAL
        status = " ".join(self._describe(phase).split())  # a line break in the file's name would begin another variable
        lines = [] if phase is self._told else _words(phase)
        if status != self._status:
            lines.append(f"STATUS={status}")
        # A drain may take `deadlines.drain`, which can be longer than TimeoutStopSec=. A supervisor that hangs sends no
        # more extensions.
        if phase is Phase.STOPPING:
            lines.append(f"EXTEND_TIMEOUT_USEC={_EXTENSION_SECONDS * 1_000_000}")
        if lines and edge.notify.send(*lines):
            self._told, self._status = phase, status

    def _look(self, *, ready: bool, reloading: bool) -> Phase:
        if self._edge.stopping or self._edge.draining is not None:
            return Phase.STOPPING
        if not ready:
            return Phase.STARTING
        return Phase.RELOADING if reloading else Phase.READY

    def _describe(self, phase: Phase) -> str:
        edge = self._edge
        load = edge.load()
        if edge.stopping:
            return "stopping"
        if edge.draining is not None:
            minutes = max(0.0, edge.draining - time.monotonic()) / 60
            return f"draining: {load['tunnels']} tunnels, {load['exchanges']} exchanges, {minutes:.0f} min at most"
        if phase is Phase.STARTING:
            return f"starting: {edge.path}"
        serving, slots = len(edge.workers.serving), edge.workers.slots
        parts = [f"{', '.join(edge.listeners['listen'].names)}; {serving}/{slots} workers, {load['tunnels']} tunnels"]
        if phase is Phase.RELOADING:
            parts.append("reloading")
        if not edge.reloads.last_ok:
            parts.append("the last reload failed, the old routes stay")
        if edge.vault.path is not None and edge.vault.why_not_durable is not None:
            parts.append(edge.vault.why_not_durable)
        return "; ".join(parts)


# MAINPID= is not sent: an exec keeps the pid, and inside a PID namespace a process doesn't know its pid outside.
def _words(phase: Phase) -> list[str]:
    match phase:
        case Phase.READY:
            return ["READY=1"]
        case Phase.RELOADING:
            return ["RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"]
        case Phase.STOPPING:
            return ["STOPPING=1"]
    return []
