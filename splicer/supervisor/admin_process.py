"""The supervisor's part for the admin process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from splicer.ipc.arguments import AdminArguments, Place
from splicer.ipc.facts import EdgeFacts
from splicer.ipc.message import Message, Request
from splicer.ipc.messages import AdminReport, Attend, Facts, HearSpans, ServeAdmin, TraceTo
from splicer.ipc.tls_messages import ProfileFacts
from splicer.ipc.tls_orders import Profile
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.launch import ADMIN
from splicer.supervisor.listeners import Listeners, counts_of, fds_of
from splicer.supervisor.process_table import ProcessTable
from splicer.supervisor.processes import Process
from splicer.supervisor.side_process import SideProcess

_SPANS_BUFFER = 1 << 20  # bytes of packets that wait for the admin process; the kernel may allow less (socket(7))


class AdminProcess(SideProcess):
    """Keeps the admin process alive.

    Args:
        process_table: starts the process.
        log: the log.
        listeners: the sockets on which it accepts, by name.
        arguments: makes its arguments.
        facts: returns the state of the edge.
        config: returns a file with the text in force, which is closed here.
        heard: called with each of its reports.
        began: called when it serves.
        traces: whether spans are sent to a collector.
    """

    REPORTS = AdminReport
    MODULE = ADMIN
    ATTEND = Attend

    def __init__(
        self,
        process_table: ProcessTable,
        log: PlainLog,
        listeners: Mapping[str, Listeners],
        arguments: Callable[[Place], AdminArguments],
        facts: Callable[[], EdgeFacts],
        config: Callable[[], int | None],
        heard: Callable[[Message], None],
        began: Callable[[], None],
        traces: Callable[[], bool],
    ) -> None:
        super().__init__(process_table, log, arguments, config, heard, began)
        self._listeners = listeners
        self._facts = facts
        self._traces = traces

    def tell(self) -> None:
        """Send it the current state of the edge."""
        self.send(Facts(self._facts()))

    def tell_profile(self, facts: ProfileFacts) -> None:
        """Send it what the tls processes have read of a profile."""
        self.send(Profile(facts))

    def introduce(self, worker: Process) -> None:
        """Make the channels between it and a worker."""
        super().introduce(worker)
        self.introduce_for_spans(worker)

    def introduce_for_spans(self, worker: Process) -> None:
        """Make the channel for spans between it and a worker, if spans are sent anywhere."""
        if self._traces():
            self.connect(worker, TraceTo(), HearSpans(worker.slot), buffer=_SPANS_BUFFER)

    def _serve(self, request: int) -> tuple[Request, tuple[int, ...]]:
        return ServeAdmin(request, self._facts(), counts_of(self._listeners)), fds_of(self._listeners)

    def _served(self) -> None:
        self.tell()
        super()._served()

    def _log_death(self, **fields: Any) -> None:
        self._log("admin_died", level="error", **fields)
