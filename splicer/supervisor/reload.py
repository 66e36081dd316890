"""SIGHUP: a child reads the file, and the workers get the text that it accepted; or all stays as it is."""

from __future__ import annotations

import os

from splicer.ipc.wire import text_file
from splicer.supervisor.config_probe import ConfigProbe, ConfigSummary
from splicer.supervisor.edge_state import EdgeState
from splicer.supervisor.outcomes import Topic

_FIXED = ("listen", "admin", "metrics", "workers", "format")  # of the processes: they stay until an upgrade


class Reload:
    """Reads the file, at the start and again and again.

    Args:
        edge: what the supervisor's parts share.
    """

    def __init__(self, edge: EdgeState) -> None:
        self._edge = edge
        self._config_probe = ConfigProbe(edge.selector)

    @property
    def underway(self) -> bool:
        """Whether one is not over yet."""
        return self._config_probe.underway or self._edge.workers.owes("reloaded")

    def expire(self) -> None:
        """Give up what takes too long; call it again and again."""
        self._config_probe.expire()

    def close(self) -> None:
        """Forget a reload that is under way."""
        self._config_probe.close()

    def read(self) -> None:
        """Read the file: for the first time, or anew."""
        edge = self._edge
        edge.asked += 1
        signature = edge.watch.signature()
        then = self._apply if edge.facts else self._begin
        try:
            self._config_probe.ask("splicer.configfile.inspect", edge.path, then, text=edge.facts.get("text"))
        except OSError as error:
            edge.outcomes.fail(Topic.READING, f"{edge.path}: no process can be had to read it: {error.strerror}")
            raise
        edge.watch.note(signature)

    def _begin(self, facts: ConfigSummary) -> None:
        self._edge.watch.note_read(facts)
        last_good = self._edge.last_good
        if "faults" in facts and last_good.path is not None and last_good.is_there:
            self._refuse(facts["faults"], kept=f"the last good one, {last_good.path}")
            self._config_probe.ask("splicer.configfile.inspect", last_good.path, self._start)
        else:
            self._start(facts)

    def _start(self, facts: ConfigSummary) -> None:
        edge = self._edge
        if edge.stopping:
            return
        faults = facts.get("faults") or edge.bind(facts)
        if faults:
            edge.log.die_usage(faults)
            edge.finish(1)
        else:
            edge.put_in_force(facts)

    def _apply(self, facts: ConfigSummary) -> None:
        edge, log = self._edge, self._edge.log
        edge.watch.note_read(facts)
        if "faults" in facts:
            self._refuse(facts["faults"], kept="the old routes")
            return
        edge.last_good.keep(facts["text"])
        edge.generation += 1
        edge.facts = {**facts, **{key: edge.facts[key] for key in _FIXED}}
        edge.warn(facts)
        for key in facts["needs_restart"]:
            log("reload_needs_restart", level="warning", key=key)
        config = text_file(facts["text"])
        edge.workers.tell("reload", "reloaded", (config,))
        os.close(config)
        edge.outcomes.move(Topic.READING, Topic.RELOAD)

        def applied() -> bool:
            if edge.workers.owes("reloaded"):
                return False
            log("reload", file=str(edge.path), changes=facts["changes"] or ["nothing"])
            edge.reloads.note(ok=True)
            edge.admin_process.tell()
            edge.admin_process.tell_config()
            edge.outcomes.succeed(Topic.RELOAD, *self._summary(facts))
            return True

        edge.steps.append(applied)

    def _summary(self, facts: ConfigSummary) -> list[str]:
        path = self._edge.path
        return [
            f"{path}: reloaded: {', '.join(facts['changes']) or 'nothing has changed'}",
            *(f"{path}: {key}: this stays as it was until `splicer upgrade`" for key in facts["needs_restart"]),
            *(f"{path}: warning: {warning}" for warning in facts["warnings"]),
        ]

    def _refuse(self, faults: list[str], kept: str) -> None:
        edge = self._edge
        for fault in faults:
            edge.log("reload_fault", level="error", fault=fault)
        edge.log("reload_failed", level="error", file=str(edge.path), kept=kept)
        edge.reloads.note(ok=False)
        edge.admin_process.tell()
        edge.outcomes.fail(Topic.READING, *faults, f"{edge.path}: not reloaded; the old routes stay in force")
