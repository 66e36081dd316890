"""The columns of each view, and which of them a terminal has room for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import frozen
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from splicer.ops.answer import JsonObject
from splicer.ops.cells import NOTHING, milliseconds, number, size, span, words
from splicer.ops.top.lists import View

_SLOW_MS = 300.0  # as on the page
_LOSSY = 0.01
_SEGMENT_BYTES = 1400
_FEW = 3  # segments sent again, which say nothing yet
_BAD, _MARKED = "bold red", "yellow"
_WELL = frozenset({"up", "ready", "unknown"})

Cell = tuple[str, str]  # text and style
_Show = Callable[[JsonObject], Cell]


@frozen
class _Column:
    """A column.

    Args:
        heading: one word.
        show: makes the cell.
        rank: where there is no room for all columns, those of the highest ranks are left out.
        most: the most characters that it takes.
        right: whether it has numbers.
    """

    heading: str
    show: _Show
    rank: int
    most: int = 12
    right: bool = True


def _plain(key: str, show: Callable[[object], str] = words) -> _Show:
    return lambda row: (show(row.get(key)), "")


def _rate(row: JsonObject) -> Cell:
    text = size(row.get("rate"))
    return (text if text == NOTHING else f"{text}/s"), ""


def _line(side: str, moved: str) -> _Show:
    def show(row: JsonObject) -> Cell:
        time, again = number(row.get(f"{side}_rtt_ms")), number(row.get(f"{side}_retransmits")) or 0.0
        segments = max(1.0, (number(row.get(moved)) or 0.0) / _SEGMENT_BYTES)
        bad = (time or 0.0) >= _SLOW_MS or (again > _FEW and again / segments > _LOSSY)
        text = milliseconds(time) + (f" {again:.0f}" if again else "")
        return text, _BAD if bad else ""

    return show


def _pod_state(row: JsonObject) -> Cell:
    text = words(row.get("state"))
    drained = " drained" if row.get("drained") is True else ""
    return text + drained, _MARKED if drained else "" if text in _WELL else _BAD


def _calls_rate(row: JsonObject) -> Cell:
    rate = number(row.get("calls"))
    return (NOTHING if rate is None else f"{rate:.1f}/s"), ""


_COLUMNS: Final[Mapping[View, Sequence[_Column]]] = {
    "calls": (
        _Column("pod", _plain("pod"), 0, 40, right=False),
        _Column("route", _plain("route"), 8, 24, right=False),
        _Column("client", _plain("client"), 3, 39, right=False),
        _Column("age", _plain("age_s", span), 1),
        _Column("idle", _plain("idle_s", span), 6),
        _Column("rate", _rate, 2),
        _Column("client-line", _line("client", "bytes_to_client"), 4, 18),
        _Column("pod-line", _line("pod", "bytes_to_pod"), 5, 18),
        _Column("worker", _plain("worker"), 7),
        _Column("adopted", _plain("adopted"), 9),
        _Column("path", _plain("path"), 10, 40, right=False),
        _Column("id", _plain("id"), 11, 40, right=False),
    ),
    "pods": (
        _Column("pod", _plain("name"), 0, 40, right=False),
        _Column("upstream", _plain("upstream"), 2, 24, right=False),
        _Column("endpoint", _plain("endpoint"), 4, 47, right=False),
        _Column("state", _pod_state, 1, 24, right=False),
        _Column("since", _plain("since_s", span), 6),
        _Column("live", _plain("live"), 3),
        _Column("calls", _calls_rate, 5),
        _Column("requests", _plain("requests"), 8),
        _Column("why", _plain("failure"), 7, 30, right=False),
    ),
    "workers": (
        _Column("worker", _plain("slot"), 0),
        _Column("pid", _plain("pid"), 1),
        _Column("tunnels", _plain("tunnels"), 2),
        _Column("exchanges", _plain("exchanges"), 3),
        _Column("connections", _plain("connections"), 4),
        _Column("mover", _plain("mover"), 5, 20, right=False),
    ),
}


def table(view: View, rows: Sequence[JsonObject], selected: int | None, width: int | None) -> Table:
    """A table with one line for each row.

    Args:
        view: which columns it may have.
        rows: those that are shown.
        selected: the place of the row with the mark; None: none has it.
        width: characters that there are; None: as many as it takes, but no rates, for which it takes two looks.
    """
    columns = [column for column in _COLUMNS[view] if width is not None or column.show is not _rate]
    lines = {column: [column.show(row) for row in rows] for column in columns}
    chosen = _fitting(lines, width)
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    if selected is not None:
        made.add_column("", width=1)
    for column, its in chosen.items():
        made.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=its,
        )
    for place, _ in enumerate(rows):
        marked = place == selected
        cells = [Text(*lines[column][place]) for column in chosen]
        mark = [] if selected is None else [Text(">" if marked else " ")]
        made.add_row(*mark, *cells, style="reverse" if marked else "")
    return made


# Cells are Text, never str: in a str, rich would interpret "[red]" and ":smile:".
def _fitting(lines: Mapping[_Column, Sequence[Cell]], width: int | None) -> dict[_Column, int]:
    """The columns with their widths, in the order of the view."""
    widths = {
        column: max(len(column.heading), *(cell_len(text) for text, _ in cells), 1) for column, cells in lines.items()
    }
    if width is None:
        return widths
    room = width - 2  # the mark, and a blank
    chosen: dict[_Column, int] = {}
    for column in sorted(widths, key=lambda one: one.rank):
        its = min(widths[column], column.most)
        if chosen and its + 1 > room:
            break
        chosen[column] = its
        room -= its + 1
    return {column: chosen[column] for column in lines if column in chosen}
