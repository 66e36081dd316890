"""What is drawn: it fits, and what clients send is text."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from splicer.ops.top.draw import screen_of, sheet_of
from splicer.ops.top.screen import Screen
from tests.kit.laws import examples

STYLES = re.compile(r"\x1b\[[0-9;]*m")
STATE: dict[str, Any] = {
    "version": "1.2.3",
    "connections": 7,
    "uptime_s": 61,
    "generation": 2,
    "restarts": 0,
    "draining": False,
    "drains": [],
    "reload": {"ok": True, "faults": []},
    "missing_workers": [],
    "workers": [{"slot": 1, "pid": 11, "tunnels": 2}],
    "upstreams": [{"name": "pod", "pods": [{"name": "agent-1", "endpoint": "10.0.0.1:80", "state": "up", "live": 2}]}],
}


def call(number: int, **more: Any) -> dict[str, Any]:
    usual = {"id": f"id-{number}", "pod": f"agent-{number}", "route": "ws", "client": "192.0.2.7", "path": "/x"}
    return {**usual, "age_s": 1000 - number, "rate": 1234, "client_rtt_ms": 1.5, "client_retransmits": 0, **more}


def calls(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"total": len(rows), "tunnels": list(rows)}


def drawn(screen: Screen, lost: str = "", width: int = 120, height: int = 24) -> str:
    sheet = StringIO()
    console = Console(file=sheet, width=width, height=height, force_terminal=True, color_system="standard")
    console.print(screen_of(screen, lost, width, height))
    return sheet.getvalue().removesuffix("\n")


def a_screen(*rows: dict[str, Any], **state: Any) -> Screen:
    screen = Screen()
    screen.update(STATE | state, calls(*rows))
    return screen


def lines_of(text: str) -> list[str]:
    return [STYLES.sub("", line).rstrip() for line in text.split("\n")]


@pytest.mark.parametrize("view", ["calls", "pods", "workers"])
@settings(max_examples=examples(10))
@given(width=st.integers(20, 250), height=st.integers(8, 60), count=st.integers(0, 70), place=st.integers(0, 70))
def test_it_fills_the_screen_and_no_more(view: str, width: int, height: int, count: int, place: int) -> None:
    screen = a_screen(*map(call, range(count)))
    for key in (*({"calls": "", "pods": "p", "workers": "w"}[view]), *["down"] * place):
        screen.key(key)
    lines = lines_of(drawn(screen, width=width, height=height))
    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width
    marked = [line for line in lines[2:] if line.startswith(">")]
    assert len(marked) == bool(screen.rows)


@settings(max_examples=examples(10))
@given(st.text(max_size=30), st.sampled_from(["id", "pod", "route", "client", "path", "worker", "adopted"]))
def test_no_command_reaches_the_terminal(text: str, key: str) -> None:
    text = f"\x1b]0;owned\x07{text}\x9b31m"
    screen = a_screen(call(1, **{key: text}), reload={"ok": False, "faults": [text]}, drains=[{"scope": text}])
    screen.filter = text
    screen.message = text
    for keys in ("", "k", "n", "d", "n", "p", "w", "/"):
        for each in keys:
            screen.key(each)
        plain = STYLES.sub("", drawn(screen, lost=text, width=250))
        assert all(character.isprintable() or character == "\n" for character in plain)
    assert "owned" not in re.sub(r"\\x1b\]0;owned", "", plain)
    sheet = StringIO()
    Console(file=sheet, width=1000).print(sheet_of(STATE | {"version": text}, calls(call(1, **{key: text}))))
    assert all(character.isprintable() or character == "\n" for character in sheet.getvalue())


def test_markup_is_text() -> None:
    assert "[red]:smile:" in drawn(a_screen(call(1, path="[red]:smile:")), width=200)


def test_what_is_wrong_stands_above() -> None:
    drain = {"scope": "pod", "name": "agent-3", "remaining": 2}
    screen = a_screen(
        call(1), reload={"ok": False, "faults": ["f: bad"]}, missing_workers=[2], drains=[drain], draining=True
    )
    lines = lines_of(drawn(screen, lost="no connection since 12:00:00", width=200))
    assert lines[0] == "splicer 1.2.3 · 1 call · 7 connections · up 1m1s · generation 2 · 0 worker restarts · draining"
    assert lines[1:5] == [
        "no connection since 12:00:00",
        "the last reload failed, the old rules are in force: f: bad",
        "no answer from worker 2: its calls are not in the list",
        "drained: pod agent-3, 2 tunnels remain",
    ]
    assert lines[5] == "calls: 1, by age"


def test_many_drains_leave_room_for_calls() -> None:
    drains = [{"scope": "pod", "name": f"agent-{number}", "remaining": None} for number in range(50)]
    lines = lines_of(drawn(a_screen(call(1), drains=drains)))
    assert lines[1:5][-1] == "and 47 more"
    assert lines[5] == "calls: 1, by age"


@pytest.mark.parametrize(
    ("more", "bad"),
    [
        ({}, False),
        ({"client_rtt_ms": 300.0}, True),
        ({"client_retransmits": 3, "bytes_to_client": 0}, False),
        ({"client_retransmits": 10, "bytes_to_client": 100_000}, True),
        ({"client_retransmits": 10, "bytes_to_client": 100_000_000}, False),
        ({"pod_rtt_ms": 500.0}, True),
    ],
)
def test_a_bad_line_is_red(more: dict[str, Any], bad: bool) -> None:
    assert ("\x1b[1;31m" in drawn(a_screen(call(0), call(1, **more)))) == bad


def test_columns_go_by_their_rank_where_there_is_no_room() -> None:
    screen = a_screen(call(1))
    heads = {width: lines_of(drawn(screen, width=width))[2].split() for width in (30, 60, 160)}
    assert heads[30] == ["pod", "age", "rate"]
    assert heads[60][:3] == ["pod", "client", "age"]
    assert heads[160][-2:] == ["path", "id"]


def test_more_calls_than_the_address_lists_are_said() -> None:
    screen = Screen()
    screen.update(STATE, {"total": 2345, "tunnels": [call(1)]})
    assert "calls: 1, of the first 1000 of 2345, by age" in lines_of(drawn(screen))


PICTURE = re.compile(r"<!-- splicer top -->\n```text\n(.*?)\n```", re.DOTALL)


def test_the_picture_in_the_documents_has_this_shape() -> None:
    """It was taken from a terminal of 120 columns; its numbers are those of that moment."""
    page = (Path(__file__).parents[3] / "docs/operations.md").read_text(encoding="utf-8")
    [picture] = PICTURE.findall(page)
    rows = [
        call(number, pod=f"{'x' * 50}", route="pod-websocket", client="127.0.0.1", rate=19_500, worker=1, idle_s=0)
        | {"age_s": 27, "client_rtt_ms": 14.9, "pod_rtt_ms": 15.1}
        for number in range(4)
    ]
    drain = {"scope": "pod", "name": "voice-agent-1", "remaining": 2}
    state = {"uptime_s": 44, "drains": [drain], "version": "0.1.0", "generation": 0, "connections": 4}
    now = lines_of(drawn(a_screen(*rows, **state)))
    then = picture.split("\n")
    assert [re.sub(r"\d+", "0", line) for line in (*then[:4], then[-1])] == [
        re.sub(r"\d+", "0", line) for line in (*now[:4], now[-1])
    ]
