"""The screen's state: what keys and news do to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ops.drain import Scope
from splicer.ops.top.lists import SORTS, listed
from splicer.ops.top.screen import Close, Drain, Quit, Resort, Screen

STATE: dict[str, Any] = {
    "drains": [{"scope": "pod", "name": "agent-2", "since": None, "remaining": 0}],
    "upstreams": [
        {"name": "pod", "pods": [{"name": "agent-1", "endpoint": "10.0.0.1:80"}, {"name": "agent-2", "endpoint": "b"}]},
        {"name": "none", "pods": []},
    ],
    "workers": [{"slot": 1, "pid": 11}, {"slot": 2, "pid": 12}],
}


def call(id: str, **more: Any) -> dict[str, Any]:  # noqa: A002 - that is what it is called everywhere
    return {"id": id, "pod": "agent-1", "route": "ws", "client": "192.0.2.7", "path": f"/ws/{id}", **more}


def calls(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"total": len(rows), "found": len(rows), "tunnels": list(rows)}


def a_screen(*rows: dict[str, Any]) -> Screen:
    screen = Screen()
    screen.update(STATE, calls(*rows))
    return screen


def press(screen: Screen, *keys: str) -> list[Any]:
    return [intent for key in keys if (intent := screen.key(key)) is not None]


def shown(screen: Screen) -> list[str]:
    return [row["id"] for row in screen.rows]


THREE = (call("a", age_s=3.0, rate=1), call("b", age_s=2.0, rate=3, pod="agent-2"), call("c", age_s=1.0, rate=2))


def test_each_order_has_its_measure_the_largest_first() -> None:
    rows = [
        call("age", age_s=9, idle_s=0, rate=0, client_rtt_ms=None, client_retransmits=None),
        call("idle", idle_s=9),
        call("rate", rate=9),
        call("rtt", client_rtt_ms=1.0, pod_rtt_ms=9.0),
        call("retransmits", client_retransmits=9, pod_retransmits=0),
    ]
    screen = a_screen(*rows)
    seen = []
    for _ in SORTS:
        seen.append((screen.sort, shown(screen)[0]))
        assert press(screen, "s") == [Resort()]
    assert seen == [(sort, sort) for sort in SORTS]
    assert screen.sort == SORTS[0]
    press(screen, "p")
    assert press(screen, "s") == [], "there is one order of pods"


def test_a_filter_is_typed_kept_and_dropped() -> None:
    screen = a_screen(*THREE)
    press(screen, "/", "A", "g", "e", "n", "t", "-", "2", "q")
    assert (screen.filter, shown(screen)) == ("Agent-2q", [])
    press(screen, "backspace", "enter")
    assert (screen.typing, shown(screen)) == (False, ["b"])
    press(screen, "escape")
    assert shown(screen) == ["a", "b", "c"]
    press(screen, "/", *"ws /c", "enter")
    assert shown(screen) == ["c"], "all words are wanted"
    press(screen, "/", "clear", *"x" * 200)
    assert len(screen.filter) == 100
    press(screen, "escape")
    assert (screen.typing, screen.filter) == (False, "")


def test_the_selection_stays_with_its_call() -> None:
    screen = a_screen(*THREE)
    press(screen, "down")
    assert screen.selected == THREE[1]
    screen.update(calls=calls(call("new", age_s=10), *THREE))
    assert screen.selected == THREE[1]
    press(screen, "s", "s")
    assert (screen.sort, screen.selected) == ("rate", THREE[1])


def test_when_its_call_is_over_the_one_in_its_place_is_selected() -> None:
    screen = a_screen(*THREE)
    press(screen, "end")
    screen.update(calls=calls(*THREE[:2]))
    assert screen.selected == THREE[1]
    screen.update(calls=calls())
    assert screen.selected is None
    screen.update(calls=calls(*THREE))
    assert screen.selected == THREE[1], "it is there again"


@given(st.lists(st.sampled_from(["up", "down", "page-up", "page-down", "home", "end", "c", "p", "w", "s"])))
def test_the_selection_is_always_a_row(keys: list[str]) -> None:
    screen = a_screen(*THREE)
    press(screen, *keys)
    assert screen.selected in screen.rows


def test_closing_asks_and_only_y_does_it() -> None:
    screen = a_screen(*THREE)
    for no in ("n", "enter", "escape", "k", "q", " "):
        assert press(screen, "k", no) == []
        assert screen.question is None
        assert screen.message == "nothing was done"
    assert press(screen, "k", "y") == [Close("a")]


def test_what_was_asked_about_is_closed_whatever_has_moved() -> None:
    screen = a_screen(*THREE)
    press(screen, "k")
    screen.update(calls=calls(*THREE[1:]))
    assert press(screen, "y") == [Close("a")]


def test_a_pod_is_drained_and_one_that_is_drained_is_undone() -> None:
    screen = a_screen(*THREE)
    assert press(screen, "d", "y") == [Drain(Scope(pod="agent-1"), undo=False)]
    assert press(screen, "down", "d", "y") == [Drain(Scope(pod="agent-2"), undo=True)]
    press(screen, "p")
    assert press(screen, "d", "y", "down", "d", "y") == [
        Drain(Scope(pod="agent-1"), undo=False),
        Drain(Scope(pod="agent-2"), undo=True),
    ]


@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        ((), "k"),
        ((), "d"),
        ((call("a", pod=""),), "d"),
        ((call("a"),), "wk"),
        ((call("a"),), "wd"),
        ((call("a"),), "pk"),
    ],
)
def test_what_can_not_be_done_is_said_and_not_asked(rows: tuple[dict[str, Any], ...], keys: str) -> None:
    screen = a_screen(*rows)
    assert press(screen, *keys) == []
    assert screen.question is None
    assert screen.message.startswith("select a call ")


def test_views_come_and_go_and_keep_their_selection() -> None:
    screen = a_screen(*THREE)
    press(screen, "down", "w", "down")
    assert screen.selected == STATE["workers"][1]
    press(screen, "w")
    assert (screen.view, screen.selected) == ("calls", THREE[1])
    press(screen, "p")
    assert [row["name"] for row in screen.rows] == ["agent-1", "agent-2"]
    press(screen, "c")
    assert screen.view == "calls"


def test_q_quits_but_not_while_a_filter_is_typed() -> None:
    screen = a_screen()
    assert press(screen, "/", "q") == []
    assert press(screen, "enter", "q") == [Quit()]


ODD = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists, max_leaves=3)


@given(st.dictionaries(st.sampled_from(["id", "pod", "age_s", "rate", "client_rtt_ms"]), ODD), st.sampled_from(SORTS))
def test_answers_of_another_version_are_borne(row: dict[str, Any], sort: str) -> None:
    for answer in ({}, {"tunnels": None}, {"tunnels": [1, row]}):
        assert listed("calls", {}, answer, sort, "") in ([], [row])
        assert listed("pods", {"upstreams": [{"pods": 3}, row]}, answer, sort, "") == []
