"""Settings of TLS that are tried: those of before stay in force until all tls processes have taken the new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from splicer.ipc.tls_messages import ProfileFacts, TlsReport, TlsSettings
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.process_table import ProcessOwner, ProcessTable
from splicer.supervisor.processes import Process

Tried = Callable[[Sequence[str]], None]


class TlsTrial(ProcessOwner):
    """What the owner of tls processes has in common with who sees them through a vault.

    Args:
        process_table: has the board, and starts processes.
        log: the log.
        workers: returns the processes that use TLS: workers that serve, and the discovery process.
        told: called with the facts of each profile when they change.
        changed: called when a process has come or gone, or other settings are used.
    """

    REPORTS = TlsReport

    def __init__(
        self,
        process_table: ProcessTable,
        log: PlainLog,
        workers: Callable[[], Iterable[Process]],
        told: Callable[[ProfileFacts], None],
        changed: Callable[[], None],
    ) -> None:
        self._process_table = process_table
        self._log = log
        self._workers = workers
        self._told = told
        self._changed = changed
        self._before = TlsSettings()  # what is in force while `settings` are tried
        self._tried: Tried | None = None  # None: nothing is tried
        self._request = 0  # the newest, with `settings`
        self.settings = TlsSettings()  # in force, or tried
        self.generation = 0
        self.restarts = 0  # processes that died while they served
        self.profiles: dict[tuple[str, str], ProfileFacts] = {}

    def restore(self, settings: TlsSettings, generation: int) -> None:
        """Go on with the settings of the program before an upgrade, in new processes."""
        self.settings = self._before = settings
        self.generation = generation

    def _replace(self, settings: TlsSettings) -> None:
        """Take other settings in place of those in force; what is tried already is given up."""
        if self._tried is not None:
            self._decide(["given up for a newer reload"])
        self._before, self.settings = self.settings, settings

    def _decide(self, faults: Sequence[str]) -> None:
        """The trial is over; with faults nothing has changed."""
        tried, self._tried = self._tried, None
        if faults:
            self.settings = self._before
            self._go_back()
        self._before = self.settings
        names = {("client", name) for name in self.settings.servers} | {("pod", name) for name in self.settings.pods}
        self.profiles = {key: facts for key, facts in self.profiles.items() if key in names}
        self._changed()
        if tried is not None:
            tried(faults)

    def _go_back(self) -> None:
        """Have the processes use `settings`, which are those of before."""
