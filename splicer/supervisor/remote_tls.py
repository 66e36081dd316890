"""The tls processes of a `splicer vault --tls`, for the supervisor: they use its settings, and serve its workers.

They outlive this process; the next one finds them, with their calls. The vault may end and come back.
"""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from splicer.ipc import wire
from splicer.ipc.codec import from_json, to_json
from splicer.ipc.tls_messages import ProfileFacts, RetireTls, TlsProcessFacts, TlsSettings
from splicer.ipc.tls_orders import AttachTls
from splicer.ipc.vault_tls import AttendWorker, TlsProfile, TlsState, TlsUsed, UseTls, VaultTlsReport
from splicer.observe.plain_log import PlainLog
from splicer.supervisor.process_table import ProcessTable
from splicer.supervisor.processes import Process, State
from splicer.supervisor.remote_tls_channel import RemoteTlsChannel
from splicer.supervisor.tls_trial import TlsTrial, Tried
from splicer.supervisor.vaults import Vault
from splicer.vault.protocol import channel

_ANSWER_TIMEOUT = 60.0  # seconds in which the vault's tls processes read all files
_RETRY_INTERVAL = 5.0  # seconds until settings that could not be used are sent again
_OLDER = "the vault's program is older than this one, and doesn't know a key of the file's `tls`: renew its container"


class RemoteTls(TlsTrial):
    """Has the interface of `TlsProcesses` for the supervisor.

    Args:
        vault: has the tls processes.
        process_table: has the board, and processes that an earlier supervisor has started itself.
        selector: the loop's selector.
        log: see `TlsTrial`.
        workers: see `TlsTrial`.
        told: see `TlsTrial`.
        changed: see `TlsTrial`.
    """

    def __init__(
        self,
        vault: Vault,
        process_table: ProcessTable,
        selector: selectors.BaseSelector,
        log: PlainLog,
        workers: Callable[[], Iterable[Process]],
        told: Callable[[ProfileFacts], None],
        changed: Callable[[], None],
    ) -> None:
        super().__init__(process_table, log, workers, told, changed)
        self._path = vault.path
        self._channel = RemoteTlsChannel(
            vault, process_table.board, selector, log, opened=self._ask, heard=self._hear, lost=self._forget
        )
        self._asked_at: float | None = None  # on the monotonic clock
        self._retry_at: float | None = None
        self._renew = False  # ask for new processes with the next settings
        self._begun = False  # the settings are known
        self._was_complete = False
        self._ended = False
        self._to_introduce: deque[tuple[TlsProcessFacts, Process]] = deque()
        self.facts: tuple[TlsProcessFacts, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all of them have served: what changes later is told by the vault, and needs no look."""
        serving = sum(one.state == "serving" for one in self.facts)
        self._was_complete |= self._begun and serving >= self.settings.processes
        return self._was_complete or not self.settings.processes

    def begin(self) -> None:
        """Reach the vault before any process is started."""
        self._channel.begin()

    def use(self, settings: TlsSettings, tried: Tried) -> None:
        """See `TlsProcesses`."""
        self._replace(settings)
        begun, self._begun = self._begun, True
        if begun and settings == self._before:
            tried(())
            return
        self._tried = tried
        self._ask()
        if not settings.processes:
            self._decide(())
        elif not self._channel.is_open:
            self._decide([self._away])

    def restore(self, settings: TlsSettings, generation: int) -> None:
        """See `TlsProcesses`: the vault starts new processes, by the code that is on disk there."""
        super().restore(settings, generation)
        self._begun = self._renew = True
        self._ask()

    def adopt(self, process: Process) -> None:
        """Take over a process that an earlier supervisor had itself; it ends when its connections are over."""
        self._process_table.adopt(self, process)
        process.state = State.GONE
        process.send(RetireTls())

    def on_exit(self, process: Process, why: str, *, failed: bool) -> None:
        """See `ProcessOwner`."""
        if failed:
            self._log("tls_died", level="error", pid=process.pid, state=process.state.value, reason=why)
        else:
            self._log("tls_retired", pid=process.pid)

    def introduce(self, worker: Process) -> None:
        """Give a worker a channel to each of those that serve."""
        self._to_introduce.extend((one, worker) for one in self.facts if one.state == "serving")
        self._introduce_all()

    def end(self) -> None:
        """Leave them to the vault: they end with its container, or serve the next edge."""
        self._ended = True

    def reconcile(self) -> None:
        """Reach a vault that was away, and give up what takes too long."""
        if self._ended:
            return
        now = time.monotonic()
        self._channel.reach()
        if self._asked_at is not None and now > self._asked_at + _ANSWER_TIMEOUT:
            self._channel.lose(f"no answer for {_ANSWER_TIMEOUT:g} s")
        if self._retry_at is not None and now > self._retry_at:
            self._ask()
        self._introduce_all()

    # ---- the vault ----

    def _hear(self, report: VaultTlsReport, fds: list[int]) -> None:
        match report:
            case TlsState(processes, restarts):
                self._take_state(processes, restarts)
            case TlsProfile(facts) if facts != self.profiles.get((facts.side, facts.name)):
                self.profiles[facts.side, facts.name] = facts
                self._told(facts)
            case TlsUsed(request, faults) if request == self._request:
                self._asked_at = None
                self._hear_answer(faults or self._misunderstood(fds))

    def _take_state(self, processes: tuple[TlsProcessFacts, ...], restarts: int) -> None:
        known, self.facts, self.restarts = set(self.facts), processes, restarts
        fresh = [one for one in processes if one.state == "serving" and one not in known]
        self._to_introduce.extend((one, worker) for one in fresh for worker in self._workers())
        self._introduce_all()
        self._changed()

    def _forget(self) -> None:
        self._asked_at = self._retry_at = None
        self._to_introduce.clear()
        self.facts = ()
        self._changed()
        if self._tried is not None:
            self._decide([self._away])

    @property
    def _away(self) -> str:
        return f"the vault at {self._path}, which has the keys and the tls processes, is away: start it first"

    # ---- workers ----

    def _introduce_all(self) -> None:
        while self._to_introduce and self._introduce(*self._to_introduce[0]):
            self._to_introduce.popleft()

    # This process keeps neither end: then each of the two notices the other's death.
    def _introduce(self, one: TlsProcessFacts, worker: Process) -> bool:
        if self._process_table.all.get(worker.pid) is not worker or one not in self.facts:
            return True
        try:
            ours, its = channel()
        except OSError as error:
            self._log("worker_not_introduced", level="error", pid=worker.pid, error=error.strerror)
            return True
        with ours, its:
            if not self._channel.send(AttendWorker(one.row), (ours.fileno(),)):
                return False
            with suppress(OSError):
                wire.send(worker.sock, AttachTls(one.row, one.generation), (its.fileno(),), worker.version)
        return True

    # ---- settings ----

    def _ask(self) -> None:
        if not (self._channel.is_open and self._begun):
            return
        self._retry_at = None
        self._request = self._process_table.next_request()
        text = wire.text_file(to_json(self.settings))
        try:
            if self._channel.send(UseTls(self._request, self._renew), (text,)):
                self._asked_at, self._renew = time.monotonic(), False
            else:
                self._retry_at = time.monotonic() + _RETRY_INTERVAL
        finally:
            os.close(text)

    def _misunderstood(self, fds: Sequence[int]) -> Sequence[str]:
        try:
            same = bool(fds) and from_json(TlsSettings, wire.read_text(os.dup(fds[0]))) == self.settings
        except ValueError:
            same = False
        return () if same else (_OLDER,)

    def _hear_answer(self, faults: Sequence[str]) -> None:
        if self._tried is not None:
            self._decide(faults)
            if faults:
                self._ask()  # what was in force: an older vault may use the new ones
        elif faults:
            self._retry_at = time.monotonic() + _RETRY_INTERVAL
            for fault in faults:
                self._log("tls_not_started", level="error", fault=fault)
