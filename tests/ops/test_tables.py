"""What a person reads."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.ops import tables
from splicer.ops.failure import AdminFailed
from tests.ops.admin import SINCE, Admin, endpoint, tunnel

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(min_value=10**400) | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)


def drawn(*rows: dict[str, Any]) -> list[str]:
    return tables.tunnels({"tunnels": list(rows)}, colors=False).splitlines()


def test_a_tunnel_is_a_line() -> None:
    heading, line = drawn(tunnel("a1"))
    assert dict(zip(heading.split(), line.split(), strict=True)) == {
        "id": "a1",
        "route": "pod-websocket",
        "pod": "voice-agent-3",
        "client": "198.51.100.7",
        "age": "1h2m5s",
        "idle": "0s",
        "to-pod": "29.8MB",
        "to-client": "999B",
        "worker": "1",
        "adopted": "2",
        "rtt-client": "48.2ms",
        "rtt-pod": "-",
        "resent-client": "17",
        "resent-pod": "0",
    }


def test_no_tunnels_are_a_heading() -> None:
    assert len(drawn()) == 1


def test_nothing_is_cut_or_wrapped_whatever_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    names = ["x" * 5000, "two words " * 100]
    lines = drawn(*(tunnel(name, pod=name) for name in names))
    assert len(lines) == 3
    assert all(line.count(name) == 2 for name, line in zip(names, lines[1:], strict=True))


def test_colors_are_for_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in tables.tunnels({"tunnels": [tunnel("a1")]}, colors=False)
    assert "\x1b[1m" in tables.tunnels({"tunnels": [tunnel("a1")]}, colors=True)


def test_names_are_shown_and_never_obeyed() -> None:
    _, line = drawn(tunnel("[red]a1[/red] :smile:", pod="\x1b]0;x\x07\n\u202e\x9b", client="https://x.example"))
    assert "[red]a1[/red] :smile:" in line
    assert r"\x1b]0;x\x07\n\u202e\x9b" in line


@given(row=st.dictionaries(st.sampled_from(sorted(tunnel(""))), JSON))
def test_any_row_is_one_printable_line(row: dict[str, Any]) -> None:
    lines = drawn(row)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_an_endpoint_is_a_line_and_so_is_an_upstream_without_any() -> None:
    shown = tables.upstreams({"upstreams": Admin().upstreams}, colors=False).splitlines()
    assert [line.split() for line in shown] == [
        [
            "upstream",
            "pod",
            "endpoint",
            "source",
            "zone",
            "state",
            "since",
            "why",
            "returns",
            "calls",
            "limit",
            "requests",
        ],
        ["pod", "voice-agent-3", "10.0.0.3:8000", "dns", "-", "down", "2m5s", "connect_refused", "-", "12", "40", "3"],
        [
            "pod",
            "voice-agent-4",
            "[fd00::4]:8000",
            "dns",
            "asia-south1-a",
            "ejected",
            "-",
            "connect_refused",
            "23s",
            "12",
            "40",
            "3",
        ],
        ["pod", "voice-agent-5", "10.0.0.5:8000", "dns", "-", "not_ready", "-", "-", "-", "12", "40", "3"],
        ["any-pod", *["-"] * 11],
    ]


@given(row=st.dictionaries(st.sampled_from(sorted(endpoint("", ""))), JSON))
def test_any_endpoint_is_one_printable_line(row: dict[str, Any]) -> None:
    lines = tables.upstreams({"upstreams": [{"name": "x", "endpoints": [row]}]}, colors=False).splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_status() -> None:
    facts, workers, drains = tables.status(Admin().status, colors=False).split("\n\n")
    assert [re.split(" {2,}", line) for line in facts.splitlines()] == [
        ["version", "1.2.3"],
        ["generation", "4"],
        ["uptime", "1d1h1m1s"],
        ["draining", "no"],
        ["tunnels", "2"],
        ["last reload", f"failed, {SINCE} (3 ok, 1 failed)"],
        ["worker restarts", "7"],
    ]
    assert [line.split() for line in workers.splitlines()] == [
        ["worker", "pid", "tunnels", "exchanges", "connections", "mover"],
        ["1", "4711", "1", "0", "3", "native"],
        ["2", "-", "1", "5", "6", "-"],
    ]
    assert [line.split() for line in drains.splitlines()] == [
        ["drain", "name", "since", "remaining"],
        ["pod", "voice-agent-3", SINCE, "1"],
    ]


def test_status_says_in_one_line_why_a_certificate_is_not_used() -> None:
    used = {"path": "/tls/tls.crt", "profile": "edge", "names": ["edge.test"], "days_left": 80, "current": True}
    unused = used | {"current": False, "fault": "/tls/tls.key: it does not fit\nthe certificate"}
    tls = {"processes": [], "certificates": [used, unused]}
    status = tables.status({**Admin().status, "drains": [], "tls": tls}, colors=False).split("\n\n")[-1]
    heading, *lines = [re.split(" {2,}", line) for line in status.splitlines()]
    assert heading[-2:] == ["current", "why"]
    assert [line[-2:] for line in lines] == [["yes", "-"], ["no", r"/tls/tls.key: it does not fit\nthe certificate"]]


def test_status_without_drains_or_reloads() -> None:
    status = Admin().status | {"drains": [], "draining": True, "config": {"last_reload": None}}
    facts, workers = tables.status(status, colors=False).split("\n\n")
    assert "none yet" in facts
    assert "draining         yes" in facts
    assert workers.count("\n") == 2


@pytest.mark.parametrize("answer", [{}, {"tunnels": None}, {"tunnels": {}}, {"tunnels": [1]}])
def test_an_answer_of_somebody_else(answer: dict[str, Any]) -> None:
    with pytest.raises(AdminFailed, match='no list of "tunnels"'):
        tables.tunnels(answer, colors=False)
    with pytest.raises(AdminFailed, match='no list of "workers"'):
        tables.status(answer, colors=False)
