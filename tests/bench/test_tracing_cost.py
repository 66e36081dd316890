from __future__ import annotations

import urllib.request

import pytest

from bench import tracing_cost
from bench.interval import Interval
from bench.pairs import AFTER, BEFORE, Row
from bench.peers.splicer import Checkout
from bench.tracing_cost import Traced, broken, main
from tests.bench.test_pairs import FakeRun, report


def row(low: float, name: str = "CPU of a new call") -> Row:
    return Row(name, 500.0, 520.0, Interval(1.04, low, 1.2))


@pytest.mark.parametrize(("found", "expected"), [([row(1.04)], False), ([row(1.06)], True), ([], False)])
def test_only_what_is_sure_breaks_the_law(found: list[Row], expected: bool) -> None:
    assert broken(found) == expected
    assert not broken([row(2.0, "CPU of an HTTP request")])


def test_it_runs_this_checkout_twice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Run(FakeRun):
        found = report([1000.0] * 20, [800.0] * 20, "handshakes.per_cpu")

    monkeypatch.setattr(tracing_cost, "Run", Run)
    assert main(["--sample", "0.5", "handshakes"]) == 1
    said = capsys.readouterr().out
    assert "sampled: 50%" in said
    assert "1.250" in said
    assert "BROKEN" in said
    before, after = Run.options.peers
    assert (before.name, after.name) == (BEFORE, AFTER)
    assert isinstance(before, Checkout)
    assert isinstance(after, Traced)


@pytest.mark.parametrize("arguments", [["nothing"], ["--pairs", "2"], ["--sample", "2"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_the_collector_takes_batches() -> None:
    import os

    with tracing_cost._collector(os.sched_getaffinity(0)) as url:
        for _ in range(2):
            with urllib.request.urlopen(url, data=b"a batch", timeout=10) as answer:
                assert (answer.status, answer.read()) == (200, b"")
