"""The verdicts: what became of each directive."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from attrs import Factory, define, frozen

from splicer.importer.directive import Directive


class Verdict(StrEnum):
    """What became of a directive; of several verdicts, the one that stands last here holds."""

    NO_NEED = "no need"
    DEFAULT = "default"
    CARRIED = "carried"
    DIFFERS = "differs"
    LOST = "lost"


_RANK = {verdict: rank for rank, verdict in enumerate(Verdict)}
UNKNOWN = "this importer does not know it"


@frozen
class Entry:
    """One line of the report.

    Args:
        directive: of the source.
        verdict: what became of it.
        where: the keys of routing.toml that have it now.
        note: why, what is different, or what to do.
    """

    directive: Directive
    verdict: Verdict
    where: tuple[str, ...] = ()
    note: str = ""


@frozen
class _Mark:
    verdict: Verdict
    note: str


@define
class Ledger:
    """All directives of the sources, with what was found out about them so far.

    Invariant: `entries` has each expected directive exactly once. One that nobody has looked at is lost, and said so.
    """

    _directives: dict[int, Directive] = Factory(dict)
    _marks: dict[int, list[_Mark]] = Factory(dict)
    _where: dict[int, list[str]] = Factory(dict)
    _held: set[int] = Factory(set)
    notices: list[str] = Factory(list)

    def expect(self, directive: Directive) -> None:
        """Have the report show this directive."""
        self._directives.setdefault(id(directive), directive)

    def mark(self, directive: Directive, verdict: Verdict, note: str = "") -> None:
        """Give a verdict; a directive may get several, as one that many locations inherit.

        Args:
            directive: which `expect` knows.
            verdict: what became of it.
            note: see `Entry`.
        """
        marks = self._marks.setdefault(id(directive), [])
        mark = _Mark(verdict, note)
        if mark not in marks:
            marks.append(mark)

    def lost(self, directive: Directive, note: str) -> None:
        """It is not carried; the note says what to do."""
        self.mark(directive, Verdict.LOST, note)

    def differs(self, directive: Directive, note: str) -> None:
        """It is carried, with this difference."""
        self.mark(directive, Verdict.DIFFERS, note)

    def carried(self, directive: Directive, where: str) -> None:
        """It is in this key of routing.toml."""
        places = self._where.setdefault(id(directive), [])
        if where not in places:
            places.append(where)

    def notice(self, text: str) -> None:
        """Say once what holds for the whole file."""
        if text not in self.notices:
            self.notices.append(text)

    def hold(self, directives: Iterable[Directive]) -> None:
        """These are in the draft, so that `finish` gives them their verdict."""
        self._held |= {id(directive) for directive in directives}

    def is_marked(self, directive: Directive) -> bool:
        """Whether it has a verdict yet, or will get one."""
        return id(directive) in self._marks or id(directive) in self._held

    def entries(self) -> tuple[Entry, ...]:
        """The report, in the order of the sources."""
        return tuple(self._entry(key, directive) for key, directive in self._directives.items())

    def _entry(self, key: int, directive: Directive) -> Entry:
        marks, where = self._marks.get(key, []), tuple(self._where.get(key, []))
        if not marks and not where:
            return Entry(directive, Verdict.LOST, (), UNKNOWN)
        verdicts = [mark.verdict for mark in marks] + [Verdict.CARRIED] * bool(where)
        verdict = max(verdicts, key=_RANK.__getitem__)
        return Entry(directive, verdict, where, _joined(mark.note for mark in marks if mark.verdict is verdict))


def _joined(notes: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(note for note in notes if note))
