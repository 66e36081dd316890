"""The rows of each view: which there are, in which order, and how one is known again."""

from __future__ import annotations

from typing import Any

import pytest

from splicer.ops.top.lists import SORTS, View, key_of, listed, objects, pod_of

_STATE: dict[str, Any] = {
    "upstreams": [
        {"name": "pod", "pods": [{"name": "agent-1", "endpoint": "10.0.0.1:80", "state": "Up"}, "no object"]}
    ],
    "workers": [{"slot": 1, "pid": 4711}, {"slot": 2, "pid": None}],
}
_CALLS: dict[str, Any] = {
    "tunnels": [
        {"id": "a", "pod": "agent-1", "route": "ws", "age_s": 1, "rate": 5, "pod_rtt_ms": 9.0, "client_rtt_ms": None},
        {"id": "b", "pod": "agent-2", "path": "/WS/x", "age_s": 2, "rate": "many", "client_rtt_ms": 4.0},
    ]
}


def found(view: View, sort: str = "age", wanted: str = "") -> list[str]:
    return [key_of(view, row) for row in listed(view, _STATE, _CALLS, sort, wanted)]


@pytest.mark.parametrize(
    ("sort", "expected"), [("age", ["b", "a"]), ("rate", ["a", "b"]), ("rtt", ["a", "b"]), ("idle", ["a", "b"])]
)
def test_calls_are_sorted_and_what_has_no_measure_comes_last(sort: str, expected: list[str]) -> None:
    assert sort in SORTS
    assert found("calls", sort) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"), [("", ["b", "a"]), ("ws", ["b", "a"]), ("AGENT-2 ws", ["b"]), ("agent-1 x", []), ("5", [])]
)
def test_each_word_must_be_in_one_of_the_names(wanted: str, expected: list[str]) -> None:
    assert found("calls", wanted=wanted) == expected


def test_pods_have_their_upstream_and_other_views_are_not_sorted() -> None:
    assert found("pods") == ["agent-1 pod 10.0.0.1:80"]
    assert found("pods", wanted="up") == ["agent-1 pod 10.0.0.1:80"]
    assert found("workers", "rate") == ["1 4711", "2 None"]
    assert found("workers", wanted="4711") == ["1 4711"]


def test_the_pod_of_a_row() -> None:
    assert pod_of("calls", {"pod": "agent-1"}) == pod_of("pods", {"name": "agent-1"}) == "agent-1"
    assert [pod_of("calls", {}), pod_of("pods", {"name": 7}), pod_of("workers", {"pod": "a"})] == ["", "", ""]


@pytest.mark.parametrize("answer", [{}, {"rows": None}, {"rows": {"a": 1}}, {"rows": ["a", 1, None]}])
def test_another_version_may_have_no_such_list(answer: dict[str, Any]) -> None:
    assert objects(answer, "rows") == []
