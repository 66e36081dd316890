from __future__ import annotations

import urllib.request
from contextlib import nullcontext
from typing import Any

import pytest

from bench import tracing_cost
from bench.interval import Interval
from bench.pairs import AFTER, BEFORE, Row
from bench.peers.splicer import Checkout
from bench.together import Cost
from bench.tracing_cost import Traced, broken, main


def row(low: float, name: str = "CPU of a new call") -> Row:
    return Row(name, 500.0, 520.0, Interval(1.04, low, 1.2))


@pytest.mark.parametrize(("found", "expected"), [([row(1.04)], False), ([row(1.06)], True), ([], False)])
def test_only_what_is_sure_breaks_the_law(found: list[Row], expected: bool) -> None:
    assert broken(found) == expected
    assert not broken([row(2.0, "CPU of an HTTP request")])


def told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *costs: tuple[Cost, Cost],
    at_once: bool = False,
) -> str:
    """What a run says whose pairs have these costs."""
    asked: list[Any] = []

    def measured(
        site: Any, peers: Any, mode: str, pairs: int, seconds: float, *_: Any, at_once: bool
    ) -> list[tuple[Cost, Cost]]:
        asked.append((peers, mode, pairs, seconds, at_once))
        return list(costs)

    monkeypatch.setattr(tracing_cost, "measured", measured)
    monkeypatch.setattr(tracing_cost, "opened", lambda quick: nullcontext())
    more = ["--at-once"] if at_once else []
    code = main(["--sample", "0.5", "--pairs", "20", "--seconds", "3", *more, "handshakes"])
    [((before, after), *rest)] = asked
    assert rest == ["handshakes", 20, 3.0, at_once]
    assert (before.name, after.name) == (BEFORE, AFTER)
    assert isinstance(before, Checkout)
    assert isinstance(after, Traced)
    said = capsys.readouterr()
    return f"{said.err}{said.out}{code}"


def test_it_runs_this_checkout_twice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(monkeypatch, capsys, *[(Cost(1000.0, 100.0), Cost(1250.0, 300.0))] * 20)
    assert "sampled: 50%" in said
    assert "1.250" in said
    assert "3.000" in said
    assert "BROKEN" in said
    assert said.endswith("1")
    assert told(monkeypatch, capsys, *[(Cost(1000.0, 100.0), Cost(1040.0, 100.0))] * 20, at_once=True).endswith("0")


def test_where_nobody_else_does_anything_there_is_no_ratio_of_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told(monkeypatch, capsys, *[(Cost(1000.0, 100.0), Cost(1040.0, 0.0))] * 20)
    assert "1.040" in said
    assert "outside" not in said
    assert said.endswith("0")


def test_too_few_pairs_are_no_result(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(monkeypatch, capsys, (Cost(1000.0, 100.0), Cost(1250.0, 300.0)))
    assert "1 pairs" in said
    assert said.endswith("1")


@pytest.mark.parametrize("arguments", [["nothing"], ["frames"], ["--pairs", "2"], ["--sample", "2"]])
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


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("arguments", [[], ["--at-once"]])
def test_a_short_run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["--pairs", "6", "--seconds", "0.3", *arguments])  # its exit code is this machine's
    said = capsys.readouterr()
    assert "CPU of a new call" in said.out, said.err
    assert "CPU of an HTTP request" in said.out
