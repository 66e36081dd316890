"""The columns: what a terminal has room for, and what is marked as bad."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from splicer.ops.top.columns import table
from splicer.ops.top.lists import View

_CALL: dict[str, Any] = {
    "pod": "agent-1",
    "route": "ws",
    "client": "192.0.2.7",
    "age_s": 60,
    "rate": 1500,
    "path": "/p",
}


def lines(view: View, *rows: dict[str, Any], selected: int | None = 0, width: int | None = 80) -> list[str]:
    out = StringIO()
    Console(file=out, width=width or 1000).print(table(view, rows, selected, width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def styles(row: dict[str, Any], view: View = "calls") -> dict[str, str]:
    made = table(view, [row], 0, 1000)
    return {str(column.header): str(next(iter(column.cells)).style) for column in made.columns}  # type: ignore[union-attr]


def test_the_selected_row_has_a_mark() -> None:
    head, first, second = lines("calls", _CALL, {**_CALL, "pod": "agent-2"}, selected=1)
    assert head.startswith("  pod")
    assert first.startswith("  agent-1")
    assert second.startswith("> agent-2")


def test_without_a_terminal_there_is_every_column_but_rates() -> None:
    head, row = lines("calls", {**_CALL, "id": "x" * 60}, selected=None, width=None)
    assert head.startswith("pod")
    assert "rate" not in head
    assert "x" * 60 in row


@given(width=st.integers(4, 200))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    shown = lines("calls", {**_CALL, "pod": "p" * 80, "client": "2001:db8::1"}, width=width)
    assert len(shown) == 2
    assert all(len(line) <= width for line in shown)


def test_less_room_leaves_out_what_says_least() -> None:
    wide, narrow = (lines("calls", _CALL, width=width)[0].split() for width in (200, 40))
    assert set(narrow) < set(wide)
    assert narrow[:3] == ["pod", "client", "age"]


@pytest.mark.parametrize(
    ("facts", "bad"),
    [
        ({"client_rtt_ms": 299.0}, False),
        ({"client_rtt_ms": 300.0}, True),
        ({"client_rtt_ms": 1.0, "client_retransmits": 3, "bytes_to_client": 0}, False),
        ({"client_rtt_ms": 1.0, "client_retransmits": 4, "bytes_to_client": 1400 * 300}, True),
        ({"client_rtt_ms": 1.0, "client_retransmits": 4, "bytes_to_client": 1400 * 500}, False),
        ({"client_rtt_ms": None}, False),
    ],
)
def test_a_bad_line_is_red_as_on_the_page(facts: dict[str, Any], bad: bool) -> None:
    assert (styles({**_CALL, **facts})["client-line"] == "bold red") is bad


def test_the_state_of_a_pod() -> None:
    pod = {"name": "agent-1", "state": "up", "drained": False}
    assert styles(pod, "pods")["state"] == ""
    assert styles({**pod, "state": "ejected"}, "pods")["state"] == "bold red"
    assert styles({**pod, "drained": True}, "pods")["state"] == "yellow"
    assert "up drained" in lines("pods", {**pod, "drained": True})[1]


def test_markup_is_text() -> None:
    assert "[red]" in lines("calls", {**_CALL, "pod": "[red]a:smile:"})[1]
