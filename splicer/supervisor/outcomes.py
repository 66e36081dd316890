"""Operators that wait for the outcome of a command; each gets an answer when the outcome is known."""

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
    """The waiting operators and their topics. Signals and `--watch` cause the same events; then none may wait."""

    def __init__(self) -> None:
        self.waiting: dict[Asker, Topic] = {}

    def forget(self, asker: Asker) -> None:
        """Forget an operator whose connection is gone."""
        self.waiting.pop(asker, None)

    def move(self, before: Topic, after: Topic) -> None:
        """Move all operators from one topic to the next: the first event has happened, and the command goes on."""
        for asker, topic in self.waiting.items():
            if topic is before:
                self.waiting[asker] = after

    def succeed(self, topic: Topic, *lines: str) -> None:
        """Answer all operators that wait for this topic: it has happened."""
        self._answer([asker for asker, its in self.waiting.items() if its is topic], list(lines), ok=True)

    def fail(self, topic: Topic, *lines: str) -> None:
        """Answer all operators that wait for this topic: it will not happen; the lines say why."""
        self._answer([asker for asker, its in self.waiting.items() if its is topic], list(lines), ok=False)

    def fail_others(self, topic: Topic, *lines: str) -> None:
        """Answer all operators that wait for another topic: it will not happen; the lines say why."""
        self._answer([asker for asker, its in self.waiting.items() if its is not topic], list(lines), ok=False)

    def _answer(self, askers: list[Asker], lines: list[str], *, ok: bool) -> None:
        for asker in askers:
            del self.waiting[asker]
            asker.answer(lines, ok=ok)
