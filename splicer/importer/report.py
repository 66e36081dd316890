"""The report of an import: as text for a person, and as JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from splicer.config.scalars import printable
from splicer.importer.ledger import Entry, Verdict

_FIRST = (Verdict.LOST, Verdict.DIFFERS, Verdict.CARRIED, Verdict.DEFAULT, Verdict.NO_NEED)  # what needs work leads
_HEADINGS = {
    Verdict.LOST: "lost: not carried, and what to do",
    Verdict.DIFFERS: "differs: carried, with a difference",
    Verdict.CARRIED: "carried",
    Verdict.DEFAULT: "default: splicer does so anyway",
    Verdict.NO_NEED: "no need: the source's own machinery",
}
_LONGEST = 100  # characters of a directive
_WIDTH = 118


def as_text(entries: Sequence[Entry], notices: Sequence[str]) -> list[str]:
    """Lines for a person: each directive once, by its file and line; those of one kind with one fate stand together.

    Args:
        entries: of the ledger.
        notices: what holds for the whole file.
    """
    lines = [summary(entries)]
    for verdict in _FIRST:
        those = [entry for entry in entries if entry.verdict is verdict]
        if those:
            lines += ["", _HEADINGS[verdict]]
            lines += _section(list(_groups(those)))
    if notices:
        lines += ["", "for the whole file"]
        for notice in notices:
            lines += textwrap.wrap(notice, _WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return list(map(printable, lines))


def summary(entries: Sequence[Entry]) -> str:
    """How many directives have which verdict."""
    counts = Counter(entry.verdict for entry in entries)
    each = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _FIRST if counts[verdict])
    return f"{len(entries)} directives: {each}" if entries else "no directive"


def as_json(entries: Sequence[Entry], notices: Sequence[str]) -> dict[str, Any]:
    """The same for a program: each directive is one object."""
    return {
        "directives": [
            {
                "file": entry.directive.file,
                "line": entry.directive.line,
                "text": entry.directive.text,
                "verdict": str(entry.verdict),
                "where": list(entry.where),
                "note": entry.note,
            }
            for entry in entries
        ],
        "notices": list(notices),
    }


def _groups(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    groups: dict[object, list[Entry]] = {}
    for entry in entries:
        by_place = entry.where if entry.verdict is Verdict.CARRIED else ()
        groups.setdefault((entry.directive.file, _key(entry.directive.text), by_place, entry.note), []).append(entry)
    yield from groups.values()


def _key(text: str) -> str:
    """The name of a directive, without its value."""
    return text.partition(" ")[0]


def _section(groups: Sequence[Sequence[Entry]]) -> Iterator[str]:
    """The lines of all groups; what neighbours have in common is told below the last of them."""
    for group, following in zip(groups, [*groups[1:], None], strict=True):
        yield _heading(group)
        told = _told(group)
        if told and (following is None or _told(following) != told):
            yield from textwrap.wrap(told, _WIDTH, initial_indent="      ", subsequent_indent="      ")


def _heading(group: Sequence[Entry]) -> str:
    first = group[0]
    places = ",".join(str(entry.directive.line) for entry in group)
    text = first.directive.text
    if any(entry.directive.text != text for entry in group):
        text = f"{_key(text)} {text.partition(' ')[2]} and so on"
    return f"  {first.directive.file}:{places}  {text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}"


def _told(group: Sequence[Entry]) -> str:
    first = group[0]
    where = "" if len(group) > 1 and first.verdict is not Verdict.CARRIED else _short(first.where)
    return "; ".join(part for part in (f"→ {where}" if where else "", first.note) if part)


def _short(where: Sequence[str]) -> str:
    """The keys, each table once: ``routes "api": upstream, rewrite``."""
    tables: dict[str, list[str]] = {}
    for place in where:
        table, key = _split(place)
        tables.setdefault(table, []).append(key)
    shown = [f"{table}: {', '.join(keys)}" if table else ", ".join(keys) for table, keys in tables.items()]
    return "; ".join(shown[:3]) + (f"; and {len(shown) - 3} more" if len(shown) > 3 else "")


def _split(place: str) -> tuple[str, str]:
    head, quote, key = place.rpartition('".')
    return (head + quote[:1], key) if quote else ("", place)
