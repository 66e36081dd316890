"""Operators who wait for the outcome of a command, and the answer to each of them when it is known."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Topic(StrEnum):
    """The event that an operator waits for."""

    READING = "reading"  # a child reads the file for a reload
    RELOAD = "reload"  # the workers take over the configuration that was read
    PREFLIGHT = "preflight"  # a child tries the new code for an upgrade
    RENEWAL = "renewal"  # the workers are replaced, for a recycle or after an upgrade's exec
    HANDOVER = "handover"


class Asker(Protocol):
    """An operator's connection."""

    def answer(self, lines: list[str], *, ok: bool) -> None:
        """Send the outcome, once; it never raises or waits.

        Args:
            lines: what has happened, or why nothing has, for a person.
            ok: whether the command succeeded.
        """


class Outcomes:
    """Who waits for what. Signals and `--watch` cause the same events; then perhaps nobody waits."""

    def __init__(self) -> None:
        self.waiting: dict[Asker, Topic] = {}

    def forget(self, asker: Asker) -> None:
        """It is gone."""
        self.waiting.pop(asker, None)

    def move(self, before: Topic, after: Topic) -> None:
        """What was waited for has happened, and the command goes on with the next step."""
        for asker, topic in self.waiting.items():
            if topic is before:
                self.waiting[asker] = after

    def succeed(self, topic: Topic, *lines: str) -> None:
        """Answer all who wait for this."""
        self._answer([asker for asker, its in self.waiting.items() if its is topic], list(lines), ok=True)

    def fail(self, topic: Topic, *lines: str) -> None:
        """Answer all who wait for this: it will not happen, and why."""
        self._answer([asker for asker, its in self.waiting.items() if its is topic], list(lines), ok=False)

    def fail_others(self, topic: Topic, *lines: str) -> None:
        """Answer all who wait for anything but this: it will not happen, and why."""
        self._answer([asker for asker, its in self.waiting.items() if its is not topic], list(lines), ok=False)

    def _answer(self, askers: list[Asker], lines: list[str], *, ok: bool) -> None:
        for asker in askers:
            del self.waiting[asker]
            asker.answer(lines, ok=ok)
