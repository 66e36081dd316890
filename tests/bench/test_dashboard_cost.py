from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from bench import dashboard_cost
from bench.dashboard_cost import Findings, Round, main
from bench.traffic.driver import TrafficFailed
from bench.viewer import NoBrowser, Reader, browser


def a_round(cpu: float, p99: float = 200.0, missing: int = 0, viewer: Mapping[str, float] | None = None) -> Round:
    return Round({"admin": cpu, "workers": 0.10}, p99, viewer or {}, missing)


def findings(extra: float, p99: float = 205.0, missing: int = 0) -> Findings:
    return Findings([(a_round(0.01), a_round(0.01 + extra, p99, missing, {"bytes": 40_000.0}))] * 8)


def test_what_a_viewer_takes_is_the_difference_of_a_pair() -> None:
    found = findings(0.02)
    assert found.extra == pytest.approx([0.02] * 8)
    assert found.p99.ratio == pytest.approx(1.025)
    assert found.broken == []
    said = str(found)
    assert "a viewer takes 2.00% of a core" in said
    assert "bytes a second" in said
    assert "ratio 1.025" in said


@pytest.mark.parametrize(
    ("found", "law"),
    [
        (findings(0.06), "a viewer takes less than 5% of a core"),
        (findings(0.02, p99=230.0), "the p99 is at most 10% more"),
        (findings(0.02, missing=1), "no frame is lost"),
    ],
)
def test_the_laws(found: Findings, law: str) -> None:
    assert found.broken == [law]


class Stand:
    """Instead of an edge: rounds have these results, in turn."""

    def __init__(self) -> None:
        self.looked: list[bool] = []

    def __call__(self, *_: Any) -> Stand:
        return self

    def measure(self, *, looked: bool) -> Round:
        self.looked.append(looked)
        return a_round(0.07 if looked else 0.01)


@contextmanager
def _something(*_: Any, **__: Any) -> Iterator[Any]:
    job = SimpleNamespace(proxy=lambda _: frozenset({0}))
    yield SimpleNamespace(job=lambda **_: None, processors=job, admin=("127.0.0.1", 1))


def test_it_takes_turns_and_says_what_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand = Stand()
    for name in ("opened", "home_of", "Splicer"):
        monkeypatch.setattr(dashboard_cost, name, _something)
    monkeypatch.setattr(dashboard_cost, "Rounds", stand)
    assert main(["--pairs", "6", "--seconds", "0.1"]) == 1
    assert stand.looked == [False, True, True, False] * 3
    assert "BROKEN: a viewer takes less than 5% of a core" in capsys.readouterr().out


def test_what_fails_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise TrafficFailed("voice: no compiler")

    monkeypatch.setattr(dashboard_cost, "opened", fail)
    assert main([]) == 1
    assert capsys.readouterr().err.endswith("voice: no compiler\n")


@pytest.mark.parametrize("arguments", [["--pairs", "2"], ["--calls", "0"], ["--rate", "0"], ["--seconds", "0"], ["x"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_the_reader_counts_what_comes() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        with Reader(server.getsockname()) as reader:
            edge, _ = server.accept()
            with edge:
                assert edge.recv(1000).startswith(b"GET /events?sort=age HTTP/1.1\r\nHost: 127.0.0.1\r\n")
                reader.begin()
                edge.sendall(b"x" * 1000)
                while not reader.measured(2.0)["bytes"]:
                    pass
        assert reader.measured(2.0)["bytes"] == 500


def test_without_chromium_there_is_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoBrowser, match="no Chromium"), browser():
        pass
