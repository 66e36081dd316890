"""The screen as lines: facts, what is wrong, one table, and what the keys do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from splicer.config.scalars import printable
from splicer.ops.answer import JsonObject, part
from splicer.ops.cells import names, number, span, words
from splicer.ops.drain import remain
from splicer.ops.top.columns import table
from splicer.ops.top.feed import MOST_CALLS
from splicer.ops.top.lists import objects
from splicer.ops.top.screen import Screen

_KEYS = "q quit  s sort  / filter  k close  d drain, undrain  c calls  p pods  w workers"
_MOST_NOTICES = 4
_BAD, _MARKED = "bold red", "yellow"


def screen_of(screen: Screen, lost: str, width: int, height: int) -> RenderableType:
    """All that the terminal shows. Sets the number of rows that a page has.

    Args:
        screen: what is to be shown.
        lost: why and since when there is no connection; "": there is one.
        width: characters of a line.
        height: lines.
    """
    above = [_facts(screen.state, screen.calls), *_notices(screen.state, lost), _title(screen)]
    screen.page = max(1, height - len(above) - 2)
    first = max(0, min(screen.place - screen.page // 2, len(screen.rows) - screen.page))
    rows = screen.rows[first : first + screen.page]
    blank = [Text("")] * (screen.page - len(rows))
    return Group(*above, table(screen.view, rows, screen.place - first, width), *blank, _footer(screen))


def sheet_of(state: JsonObject, calls: JsonObject) -> RenderableType:
    """The state and all calls, for who has no terminal."""
    screen = Screen(state, calls)
    screen.update()
    lines = [_facts(state, calls), *_notices(state, ""), _title(screen)]
    return Group(*lines, table("calls", screen.rows, None, None))


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")


def _facts(state: JsonObject, calls: JsonObject) -> Text:
    facts = [
        f"splicer {words(state.get('version'))}",
        "1 call" if calls.get("total") == 1 else f"{words(calls.get('total'))} calls",
        f"{words(state.get('connections'))} connections",
        f"up {span(state.get('uptime_s'))}",
        f"generation {words(state.get('generation'))}",
        f"{words(state.get('restarts'))} worker restarts",
    ]
    return _line(" · ".join([*facts, "draining"] if state.get("draining") is True else facts), "bold")


def _notices(state: JsonObject, lost: str) -> Sequence[Text]:
    found = [_line(lost, _BAD)] if lost else []
    reload = part(state, "reload")
    if reload.get("ok") is False:
        found.append(_line(f"the last reload failed, the old rules are in force: {names(reload.get('faults'))}", _BAD))
    if missing := state.get("missing_workers"):
        found.append(_line(f"no answer from worker {names(missing)}: its calls are not in the list", _BAD))
    for drain in objects(state, "drains"):
        count = drain.get("remaining")
        what = (
            "everything" if drain.get("scope") == "all" else f"{words(drain.get('scope'))} {words(drain.get('name'))}"
        )
        found.append(_line(f"drained: {what}, {remain(count if isinstance(count, int) else None)}", _MARKED))
    if len(found) <= _MOST_NOTICES:
        return found
    return [*found[: _MOST_NOTICES - 1], _line(f"and {len(found) - _MOST_NOTICES + 1} more", _MARKED)]


def _title(screen: Screen) -> Text:
    text = f"{screen.view}: {len(screen.rows)}"
    if screen.view == "calls":
        total = number(screen.calls.get("total")) or 0
        if total > MOST_CALLS:
            text += f", of the first {MOST_CALLS} of {total:.0f}"
        elif len(screen.rows) != total:
            text += f" of {total:.0f}"
        text += f", by {screen.sort}"
    return _line(f"{text}, with {screen.filter!r}" if screen.filter else text, "bold")


def _footer(screen: Screen) -> Text:
    if screen.question is not None:
        return _line(f"{screen.question.text} y/n", "bold reverse")
    if screen.typing:
        return _line(f"/{screen.filter}_  Enter keeps it, Esc shows all", "bold")
    return _line(screen.message or _KEYS, "bold" if screen.message else "dim")
