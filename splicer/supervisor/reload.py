"""The reload (SIGHUP): a child reads the file; if it is valid, the workers get its text, else nothing changes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from splicer.ipc import messages
from splicer.ipc.facts import ConfigSummary, Faults
from splicer.ipc.wire import text_file
from splicer.supervisor.config_probe import ConfigProbe
from splicer.supervisor.edge_state import EdgeState
from splicer.supervisor.launch import INSPECT
from splicer.supervisor.outcomes import Topic


class Reload:
    """Reads the file, at the start and at each reload.

    Args:
        edge: the state shared by the supervisor's parts.
    """

    def __init__(self, edge: EdgeState) -> None:
        self._edge = edge
        self._config_probe = ConfigProbe(edge.selector, edge.template.start)
        self._request = 0  # the number of the last request to the workers

    @property
    def underway(self) -> bool:
        """Whether a reload is in progress."""
        return self._config_probe.underway or self._edge.workers.awaits(self._request)

    def expire(self) -> None:
        """Give up a child that takes too long; call this regularly."""
        self._config_probe.expire()

    def close(self) -> None:
        """Give up a reload that is in progress."""
        self._config_probe.close()

    def read(self) -> None:
        """Read the file, for the first time or again."""
        edge = self._edge
        edge.asked += 1
        signature = edge.watch.signature()
        then, text = (self._begin, None) if edge.summary is None else (self._apply, edge.summary.text)
        try:
            self._config_probe.ask(INSPECT, edge.path, then, text=text)
        except OSError as error:
            edge.outcomes.fail(Topic.READING, f"{edge.path}: no process can be had to read it: {error.strerror}")
            raise
        edge.watch.note(signature)

    def _begin(self, found: ConfigSummary | Faults) -> None:
        self._edge.watch.note_read(found.read)
        last_good = self._edge.last_good
        if isinstance(found, Faults) and last_good.path is not None and last_good.is_there:
            self._refuse(found.faults, kept=f"the last good one, {last_good.path}")
            self._config_probe.ask(INSPECT, last_good.path, self._start)
        else:
            self._start(found)

    def _start(self, found: ConfigSummary | Faults) -> None:
        edge = self._edge
        if edge.stopping:
            return
        if isinstance(found, Faults):
            self._fail(found.faults)
        elif faults := edge.bind(found):
            self._fail(faults)
        else:
            edge.tls.use(found.tls, partial(self._begin_with, found))

    def _begin_with(self, found: ConfigSummary, faults: Sequence[str]) -> None:
        if faults:
            vault = self._edge.vault
            unknown = vault.path is not None and vault.has_tls is None
            more = [f"the vault at {vault.path} is away; if it has --tls, start it first"] if unknown else []
            self._fail(f"{self._edge.path}: {fault}" for fault in (*faults, *more))
        elif not self._edge.stopping:
            self._edge.put_in_force(found)

    def _fail(self, faults: Iterable[str]) -> None:
        self._edge.log.die_usage(list(faults))
        self._edge.finish(1)

    def _apply(self, found: ConfigSummary | Faults) -> None:
        edge = self._edge
        edge.watch.note_read(found.read)
        if isinstance(found, Faults):
            self._refuse(found.faults, kept="the old routes")
            return
        kept = edge.tls.settings.processes
        tls = replace(found.tls, processes=kept or found.tls.processes)
        edge.tls.use(tls, partial(self._put_in_force, replace(found, tls=tls)))

    def _put_in_force(self, found: ConfigSummary, faults: Sequence[str]) -> None:
        edge, log = self._edge, self._edge.log
        if faults:
            self._refuse([f"{edge.path}: {fault}" for fault in faults], kept="the old routes")
            return
        edge.last_good.keep(found.text)
        edge.template.parse(edge.path, found.text)
        edge.generation += 1
        before = edge.summary
        edge.replace_summary(_with_processes_of(before, found))
        edge.warn(found)
        for key in found.needs_restart:
            log("reload_needs_restart", level="warning", key=key)
        config = text_file(found.text)
        request = self._request = edge.workers.request(messages.Reload, (config,))
        os.close(config)
        edge.outcomes.move(Topic.READING, Topic.RELOAD)

        def applied() -> bool:
            if edge.workers.awaits(request):
                return False
            log("reload", file=str(edge.path), changes=list(found.changes) or ["nothing"])
            edge.reloads = edge.reloads.after(ok=True)
            edge.admin_process.tell()
            edge.admin_process.tell_config()
            edge.follow_traces(before)
            edge.outcomes.succeed(Topic.RELOAD, *self._summary(found))
            return True

        edge.steps.append(applied)

    def _summary(self, found: ConfigSummary) -> list[str]:
        path = self._edge.path
        return [
            f"{path}: reloaded: {', '.join(found.changes) or 'nothing has changed'}",
            *(f"{path}: {key}: this stays as it was until `splicer upgrade`" for key in found.needs_restart),
            *(f"{path}: warning: {warning}" for warning in found.warnings),
        ]

    def _refuse(self, faults: Sequence[str], kept: str) -> None:
        edge = self._edge
        for fault in faults:
            edge.log("reload_fault", level="error", fault=fault)
        edge.log("reload_failed", level="error", file=str(edge.path), kept=kept)
        edge.reloads = edge.reloads.after(*faults, ok=False)
        edge.admin_process.tell()
        edge.outcomes.fail(Topic.READING, *faults, f"{edge.path}: not reloaded; the old routes stay in force")


# Settings that belong to the processes don't change until an upgrade.
def _with_processes_of(old: ConfigSummary | None, new: ConfigSummary) -> ConfigSummary:
    if old is None:
        return new
    return replace(new, listeners=old.listeners, rules=old.rules, workers=old.workers, format=old.format)
