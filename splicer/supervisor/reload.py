"""SIGHUP: a child reads the file, and the workers get the text that it accepted; or all stays as it is."""

from __future__ import annotations

import os

from splicer.control.wire import text_file
from splicer.supervisor.desk import Desk
from splicer.supervisor.inspection import Facts, Inspection

_FIXED = ("listen", "admin", "metrics", "workers", "format")  # of the processes: they stay until an upgrade


class Reload:
    """Reads the file, at the start and again and again.

    Args:
        desk: the supervisor's.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._inspection = Inspection(desk.selector)

    @property
    def underway(self) -> bool:
        """Whether one is not over yet."""
        return self._inspection.underway or self._desk.crew.owes("reloaded")

    def expire(self) -> None:
        """Give up what takes too long; call it again and again."""
        self._inspection.expire()

    def close(self) -> None:
        """Forget a reload that is under way."""
        self._inspection.close()

    def read(self) -> None:
        """Read the file: for the first time, or anew."""
        desk = self._desk
        desk.asked += 1
        signature = desk.watch.signature()
        then = self._apply if desk.facts else self._begin
        self._inspection.ask("splicer.control.inspect", desk.path, then, text=desk.facts.get("text"))
        desk.watch.note(signature)

    def _begin(self, facts: Facts) -> None:
        self._desk.watch.note_read(facts)
        last_good = self._desk.last_good
        if "faults" in facts and last_good.path is not None and last_good.is_there:
            self._refuse(facts["faults"], kept=f"the last good one, {last_good.path}")
            self._inspection.ask("splicer.control.inspect", last_good.path, self._start)
        else:
            self._start(facts)

    def _start(self, facts: Facts) -> None:
        desk = self._desk
        if desk.stopping:
            return
        faults = facts.get("faults") or desk.bind(facts)
        if faults:
            desk.say.fail(faults)
            desk.finish(1)
        else:
            desk.put_in_force(facts)

    def _apply(self, facts: Facts) -> None:
        desk, say = self._desk, self._desk.say
        desk.watch.note_read(facts)
        if "faults" in facts:
            self._refuse(facts["faults"], kept="the old routes")
            return
        desk.last_good.keep(facts["text"])
        desk.generation += 1
        desk.facts = {**facts, **{key: desk.facts[key] for key in _FIXED}}
        desk.warn(facts)
        for key in facts["needs_restart"]:
            say("reload_needs_restart", level="warning", key=key)
        config = text_file(facts["text"])
        desk.crew.tell("reload", "reloaded", (config,))
        os.close(config)

        def applied() -> bool:
            if desk.crew.owes("reloaded"):
                return False
            say("reload", file=str(desk.path), changes=facts["changes"] or ["nothing"])
            desk.reloads.note(ok=True)
            desk.attendant.tell()
            desk.attendant.tell_config()
            return True

        desk.steps.append(applied)

    def _refuse(self, faults: list[str], kept: str) -> None:
        desk = self._desk
        for fault in faults:
            desk.say("reload_fault", level="error", fault=fault)
        desk.say("reload_failed", level="error", file=str(desk.path), kept=kept)
        desk.reloads.note(ok=False)
        desk.attendant.tell()
